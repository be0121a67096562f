"""Owns the engine: opens it in a thread while the server already answers, closes it at the end."""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from nearline.engine import Recommender
from nearline.errors import NearlineError
from nearline.server.logs import JsonLog
from nearline.server.problems import NotReady


class EngineHost:
    """The one engine of this process.

    Parameters
    ----------
    open_engine : callable
        Opens the store and replays it; may take long, is called once, in a thread.
    log : JsonLog
        Told when the engine is open, closed or could not be opened.

    Attributes
    ----------
    failure : Exception or None
        Why the engine could not be opened.
    on_failure : callable
        Called in the event loop when the engine could not be opened.
    on_open : callable
        Called in a thread when all that answers need is loaded, before the first answer.
    """

    def __init__(self, open_engine: Callable[[], Recommender], log: JsonLog):
        self._open_engine = open_engine
        self._log = log
        self._engine: Recommender | None = None
        self._opening: asyncio.Task[None] | None = None
        self._closing: asyncio.Task[None] | None = None
        self.failure: Exception | None = None
        self.on_failure: Callable[[], None] = lambda: None
        self.on_open: Callable[[], None] = lambda: None

    @property
    def engine(self) -> Recommender:
        """The open engine; `NotReady` says why there is none."""
        if self._engine is None:
            raise NotReady(f"{self.state}; ask /readyz and try again")
        return self._engine

    @property
    def stamp(self) -> tuple[int, int] | None:
        """The engine's stamp; None where no engine is open."""
        engine = self._engine
        return None if engine is None else engine.stamp

    @property
    def state(self) -> str:
        """``ready``, or why not."""
        if self._engine is not None:
            return "ready"
        if self._closing is not None:
            return "the store is closed"
        if self.failure is not None:
            return f"the store could not be opened ({type(self.failure).__name__})"
        return "the store is being opened"

    def start(self) -> None:
        """Begin to open the engine; return at once."""
        self._opening = asyncio.create_task(self._open())

    async def close(self) -> None:
        """Close the engine, which must be open first; whoever calls waits until it is closed."""
        if self._closing is None:
            self._closing = asyncio.create_task(self._close())
        await asyncio.shield(self._closing)

    async def _close(self) -> None:
        if self._opening is not None:
            await self._opening
        engine, self._engine = self._engine, None
        if engine is not None:
            await asyncio.to_thread(engine.close)
            self._log.write("info", "store closed")

    def _open_warm(self) -> Recommender:
        with ThreadPoolExecutor(1) as beside:
            warm = beside.submit(_load_kernels)
            engine = self._open_engine()
        warm.result()
        self.on_open()
        return engine

    async def _open(self) -> None:
        try:
            self._engine = await asyncio.to_thread(self._open_warm)
        except Exception as error:
            self.failure = error
            if isinstance(error, NearlineError):
                self._log.write("error", "store could not be opened", reason=str(error))
            else:
                self._log.failure("store could not be opened", error)
            self.on_failure()
        else:
            self._log.write("info", "store open", offset=self._engine.offset)


def _load_kernels() -> None:
    """Use each compiled kernel once, which loads it: better here than in the first request."""
    with Recommender() as scratch:
        scratch.put_item("a", text="one")
        scratch.put_item("b", text="one")
        scratch.observe("u", "a")
        scratch.observe("u", "b")
        scratch.recommend("u", explain=True)
