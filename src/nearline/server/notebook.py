"""The dashboard of a recommender that is open in this process, for notebooks."""

import asyncio
import io
import socket
from concurrent.futures import Future
from threading import Thread

import uvloop

from nearline.engine import Recommender
from nearline.errors import InvalidInput
from nearline.notebook import figures, tiles, wrap
from nearline.server.app import create_app
from nearline.server.middleware.allowed_hosts import allowed_names
from nearline.server.run import check_address, granian_server

HOST = "127.0.0.1"
_WAIT_SECONDS = 60.0
_POLL_SECONDS = 0.02


class Dashboard:
    """A dashboard that a thread of this process serves to this machine.

    Attributes
    ----------
    url : str
        Address of the dashboard.
    """

    def __init__(self, engine: Recommender, port: int) -> None:
        self.url = f"http://{HOST}:{port}/ui"
        self._engine = engine
        self._port = port
        self._loop = uvloop.new_event_loop()
        self._stopping = asyncio.Event()
        self._ready: Future[None] = Future()
        self._thread = Thread(target=self._run, name="nearline-dashboard", daemon=True)

    def start(self) -> "Dashboard":
        """Serve until `close`; return once the dashboard answers."""
        self._thread.start()
        self._ready.result(_WAIT_SECONDS)
        return self

    def close(self) -> None:
        """Stop serving; the recommender stays open. Idempotent."""
        if self._thread.is_alive():
            self._loop.call_soon_threadsafe(self._stopping.set)
            self._thread.join()

    def __enter__(self) -> "Dashboard":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"Dashboard({self.url!r})"

    def _repr_html_(self) -> str:
        engine = self._engine
        numbers = [
            ("users", f"{engine.n_users:,}"),
            ("items", f"{engine.n_items:,}"),
            ("log records", f"{engine.offset:,}"),
            ("model", engine.model_id[:8]),
        ]
        link = f"<a href='{self.url}' target='_blank' rel='noopener'>Open the dashboard</a>"
        return wrap("Nearline", tiles(numbers), link, figures([(self.url, "")]))

    def _run(self) -> None:
        try:
            self._loop.run_until_complete(self._serve())
        except BaseException as error:
            if not self._ready.done():
                self._ready.set_exception(error)
            raise
        finally:
            self._loop.close()

    async def _serve(self) -> None:
        app = create_app(
            lambda: self._engine,
            allowed_hosts=allowed_names(HOST, ()),
            log_stream=io.StringIO(),
            keep_open=True,
        )
        server = granian_server(app, HOST, self._port)
        serving = asyncio.create_task(server.serve())
        stopping = asyncio.create_task(self._stopping.wait())
        try:
            await self._connected(serving)
            await app.host.opened()
            self._ready.set_result(None)
            await asyncio.wait({serving, stopping}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            stopping.cancel()
            app.context.flow.close()
            server.stop()  # type: ignore[no-untyped-call]
            await asyncio.wait({serving}, timeout=_WAIT_SECONDS)
            await app.host.close()

    async def _connected(self, serving: "asyncio.Task[None]") -> None:
        while not serving.done():
            try:
                _, writer = await asyncio.open_connection(HOST, self._port)
            except OSError:
                await asyncio.sleep(_POLL_SECONDS)
            else:
                writer.close()
                await writer.wait_closed()
                return
        serving.result()


def show(rec: Recommender, port: int | None = None) -> Dashboard:
    """Serve the dashboard of an open recommender to this machine, and return its address.

    Notebooks show key figures and a link. The dashboard changes this very recommender: an event
    that is recorded there is in the next list here, and the other way round.

    Parameters
    ----------
    rec : Recommender
    port : int or None
        TCP port on 127.0.0.1; None chooses a free one.

    Returns
    -------
    Dashboard
        Its `close` stops serving.

    Raises
    ------
    InvalidInput
        `rec` is not a recommender; the port is in use.
    """
    if not isinstance(rec, Recommender):
        raise InvalidInput(f"rec is a {type(rec).__name__}; give a Recommender", field="rec")
    chosen = _free_port() if port is None else port
    check_address(HOST, chosen, None)
    return Dashboard(rec, chosen).start()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        port: int = probe.getsockname()[1]
    return port
