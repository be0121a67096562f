"""Progress callbacks of long-running operations."""

from collections.abc import Callable

# Called with (completed steps, total steps, name of the current step).
Progress = Callable[[int, int, str], None]


def no_progress(_done: int, _total: int, _what: str) -> None:
    """No-op progress callback."""
