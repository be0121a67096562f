"""Elapsed time, measured with a clock that may be adjusted while it runs."""

from collections.abc import Callable
from threading import Lock


class Elapsed:
    """Stopwatch that never runs backwards, on a clock that may jump; thread-safe.

    Calling the object returns the seconds since construction: the sum of all forward steps of
    the clock between two calls. A step backwards counts as zero, so the result never decreases,
    and it grows again with the next forward step.

    Parameters
    ----------
    clock : callable
        Clock without arguments that returns Unix seconds.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._lock = Lock()
        self._last = clock()
        self._seconds = 0.0

    def __call__(self) -> float:
        """Return the seconds that have elapsed since construction."""
        with self._lock:
            now = self._clock()
            self._seconds += max(0.0, now - self._last)
            self._last = now
            return self._seconds
