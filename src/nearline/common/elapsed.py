"""Elapsed time, measured with a clock that may be set."""

from collections.abc import Callable
from threading import Lock


class Elapsed:
    """Seconds since construction according to a clock that may jump; thread-safe.

    The sum of the steps that the clock made forwards. A step backwards counts as zero, so the
    result never decreases and goes on from there at once: a clock that was wrong for a moment
    delays nothing.

    Parameters
    ----------
    clock : callable
        Returns Unix seconds.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._lock = Lock()
        self._last = clock()
        self._seconds = 0.0

    def __call__(self) -> float:
        """Return the elapsed seconds."""
        with self._lock:
            now = self._clock()
            self._seconds += max(0.0, now - self._last)
            self._last = now
            return self._seconds
