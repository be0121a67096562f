"""Lifecycle of the engine: opened in a thread while the server starts, closed at shutdown."""

import asyncio
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from functools import cache
from threading import Thread

from nearline.deployment.stamp import Stamp
from nearline.engine import Recommender
from nearline.errors import NearlineError
from nearline.kernels import counted_events
from nearline.server.logs import JsonLog
from nearline.server.problems import NotReady


class EngineHost:
    """Owner of the app's engine.

    Parameters
    ----------
    open_engine : callable
        Opens the store and replays its log, which may take long; called once, in a thread.
    log : JsonLog
        Gets a line when the engine is open, closed or could not be opened.
    warm : bool
        Load the compiled kernels while the store is opened.
    keep_open : bool
        Leave the engine open at shutdown, for whoever opened it.

    Attributes
    ----------
    failure : Exception or None
        Error of opening the engine; None if there was none.
    abandoned : bool
        Whether `abandon` was called before the engine was open.
    on_failure : callable
        Called in the event loop if the engine could not be opened.
    on_open : callable
        Called in a thread once everything is loaded, before the first answer.
    """

    def __init__(
        self,
        open_engine: Callable[[], Recommender],
        log: JsonLog,
        *,
        warm: bool = True,
        keep_open: bool = False,
    ) -> None:
        self._open_engine = open_engine
        self._warm = warm
        self._keep_open = keep_open
        self._log = log
        # The engine if it is open.
        self.current: Recommender | None = None
        self._opening: asyncio.Task[None] | None = None
        self._closing: asyncio.Task[None] | None = None
        self.abandoned = False
        self.failure: Exception | None = None
        self.on_failure: Callable[[], None] = lambda: None
        self.on_open: Callable[[], None] = lambda: None

    @property
    def engine(self) -> Recommender:
        """The open engine; raises `NotReady` if there is none."""
        if self.current is None:
            raise NotReady(f"{self.state}; try again once /readyz returns 200")
        return self.current

    async def opened(self) -> None:
        """Wait until the engine is open, or could not be opened."""
        if self._opening is not None:
            await asyncio.shield(self._opening)

    @property
    def stamp(self) -> Stamp | None:
        """The engine's stamp; None if no engine is open, or if answers must not be cached."""
        engine = self.current
        return None if engine is None else engine.stamp

    def reached(self) -> int | None:
        """Return the log offset that answers reflect; None if no engine is open."""
        engine = self.current
        return None if engine is None else engine.reached

    @property
    def state(self) -> str:
        """``ready``, or the reason why the server is not ready."""
        if self.current is not None:
            return self.current.unready or "ready"
        if self._closing is not None:
            return "the store is closed"
        if self.failure is not None:
            return f"the store could not be opened ({type(self.failure).__name__})"
        return "the store is being opened"

    def start(self) -> None:
        """Start opening the engine; return immediately."""
        self._opening = asyncio.create_task(self._open())

    @property
    def opening(self) -> bool:
        """Whether the engine is still being opened."""
        return self._opening is not None and not self._opening.done()

    def abandon(self) -> None:
        """Stop waiting for an engine that is still being opened; its thread closes it."""
        if self._opening is not None:
            self.abandoned = True
            self._opening.cancel()

    async def close(self) -> None:
        """Wait until the engine is open, then close it. Idempotent."""
        if self._closing is None:
            self._closing = asyncio.create_task(self._close())
        await asyncio.shield(self._closing)

    async def _close(self) -> None:
        if self._opening is not None and not self.abandoned:
            await self._opening
        engine, self.current = self.current, None
        if engine is not None and not self._keep_open:
            await asyncio.to_thread(engine.close)
            self._log.write("info", "store closed")

    def _open_warm(self) -> Recommender:
        if not self._warm:
            return self._open_engine()
        with ThreadPoolExecutor(1) as pool:
            warm = pool.submit(load_kernels)
            engine = self._open_engine()
        warm.result()
        _load_model(engine)
        self.on_open()
        return engine

    async def _open(self) -> None:
        try:
            self.current = await self._in_daemon_thread()
        except Exception as error:
            self.failure = error
            if isinstance(error, NearlineError):
                self._log.write("error", "store could not be opened", reason=str(error))
            else:
                self._log.failure("store could not be opened", error)
            self.on_failure()
        else:
            self._log.write("info", "store open", offset=self.current.offset)

    def _in_daemon_thread(self) -> "asyncio.Future[Recommender]":
        """Open the engine in a thread that does not keep the process alive."""
        loop = asyncio.get_running_loop()
        opened: Future[Recommender] = Future()
        opened.set_running_or_notify_cancel()  # a cancelled waiter must not cancel it

        def work() -> None:
            try:
                engine = self._open_warm()
            except BaseException as error:
                opened.set_exception(error)
                return
            if self.abandoned:
                engine.close()
            opened.set_result(engine)

        Thread(target=work, name="nearline-open", daemon=True).start()
        return asyncio.wrap_future(opened, loop=loop)


@cache
def load_kernels() -> None:
    """Call each compiled kernel once, so that loading them doesn't delay the first request."""
    with Recommender() as scratch:
        scratch.put_item("a", text="one")
        scratch.put_item("b", text="one")
        scratch.observe("u", "a")
        scratch.observe("u", "b")
        for _ in range(counted_events.LIMITS.repeats):  # then one does not count
            scratch.observe("u", "b")
        scratch.recommend("u", explain=True)
        scratch.recommend("v", preferences="one")
        scratch.recommend("u", diversity=0.5, repeats="include")
        scratch.similar("a")
        scratch.forget("u").result()


def _load_model(engine: Recommender) -> None:
    """Compute a list with the model of the store, whose kernels may differ from those above."""
    with suppress(NearlineError):  # what is wrong is for the first request to say
        for item in engine.trending(1):
            engine.recommend("anyone", history=[item.item_id])
