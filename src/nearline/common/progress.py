"""Progress callbacks of long-running operations."""

from collections.abc import Callable

# A callback with the arguments (completed steps, total steps, name of the current step).
Progress = Callable[[int, int, str], None]


def no_progress(_done: int, _total: int, _what: str) -> None:
    """Ignore the progress of an operation; default of parameters of type `Progress`."""
