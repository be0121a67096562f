"""Slow work that a recommender repeats in a thread of its own, once something needs it."""

import logging
from collections.abc import Callable
from threading import Event, Lock, Thread

logger = logging.getLogger(__name__)


class Periodic:
    """Calls a function again and again, from the first `start` on.

    Parameters
    ----------
    work : callable
        An exception is logged and does not end the thread.
    seconds : float
        Pause between two calls.
    """

    def __init__(self, work: Callable[[], object], seconds: float) -> None:
        self._work, self._seconds = work, seconds
        self._stopping, self._lock = Event(), Lock()
        self._thread: Thread | None = None

    def start(self) -> None:
        """Start the thread, unless it runs or was stopped."""
        with self._lock:
            if self._thread is None and not self._stopping.is_set():
                self._thread = Thread(target=self._run, name="nearline-periodic", daemon=True)
                self._thread.start()

    def stop(self) -> None:
        """Stop the thread and wait for it. Idempotent."""
        self._stopping.set()
        with self._lock:
            thread, self._thread = self._thread, None
        if thread is not None:
            thread.join()

    def _run(self) -> None:
        while not self._stopping.wait(self._seconds):
            try:
                self._work()
            except Exception:
                logger.exception("periodic work failed and is tried again")
