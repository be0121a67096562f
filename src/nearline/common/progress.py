"""Progress callbacks of long-running operations, and time limits."""

import time
from collections.abc import Callable

# A callback with the arguments (completed steps, total steps, name of the current step).
Progress = Callable[[int, int, str], None]


def no_progress(_done: int, _total: int, _what: str) -> None:
    """Ignore the progress of an operation; default of parameters of type `Progress`."""


class LimitedProgress:
    """Progress callback of an operation that should end after some time; see `is_over`.

    Parameters
    ----------
    progress : callable
        Callback that receives the progress.
    seconds : float
        Time limit, counted from the construction.
    clock : callable
        Clock without arguments that returns seconds and never runs backwards.
    """

    def __init__(
        self, progress: Progress, seconds: float, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._progress, self._clock = progress, clock
        self._end = clock() + seconds

    def __call__(self, done: int, total: int, what: str) -> None:
        """Pass the progress on."""
        self._progress(done, total, what)

    @property
    def is_over(self) -> bool:
        """Whether the time is over."""
        return self._clock() >= self._end


def limited(progress: Progress, seconds: float | None) -> Progress:
    """Return a callback with a time limit; the same callback if `seconds` is None."""
    return progress if seconds is None else LimitedProgress(progress, seconds)


def is_over(progress: Progress) -> bool:
    """Return whether an operation should end with the best result so far."""
    return isinstance(progress, LimitedProgress) and progress.is_over
