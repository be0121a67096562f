"""How long work tells how far it is: a callable that a progress bar hangs on."""

from collections.abc import Callable

# Called with (steps done, steps in all, what is going on).
Progress = Callable[[int, int, str], None]


def no_progress(_done: int, _total: int, _what: str) -> None:
    """Ignore progress: the default where nobody watches."""
