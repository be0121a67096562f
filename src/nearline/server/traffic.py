"""How much is on its way, and in which order lists are computed: bounded, and fair to the rest."""

import asyncio
from collections.abc import Callable
from types import TracebackType

from nearline.errors import Overloaded

# Share of the latest list in the running mean of what a list takes.
_NEWEST_SHARE = 0.1


class Traffic:
    """Requests on their way.

    Attributes
    ----------
    in_flight : int
        Requests that wait for their answers; lists that are cached never do.
    last : float
        When the last request came, by the timer of the app.
    """

    def __init__(self, limit: int):
        self._limit = limit
        self.in_flight = 0
        self.last = 0.0

    def check(self) -> None:
        """Raise `Overloaded` where the request that was just counted is one too many."""
        if self.in_flight > self._limit:
            raise Overloaded(
                f"{self._limit:,} requests wait already, which is all that the server holds; "
                "try again in a second"
            )


class ComputeQueue:
    """Lets one list after the other be computed, in the order in which they were asked for.

    A list occupies the event loop while it is computed. Before each turn the loop goes round once:
    what came meanwhile is taken in, cached lists leave, and the age of what waits can be told.

    Parameters
    ----------
    timer : callable
        Gives seconds of a clock that never goes back.
    """

    def __init__(self, timer: Callable[[], float]):
        self._timer = timer
        self._lock = asyncio.Lock()
        self._start = 0.0
        self._typical = 0.0

    async def __aenter__(self) -> None:
        await self._lock.acquire()
        try:
            await asyncio.sleep(0)
        except BaseException:
            self._lock.release()
            raise
        self._start = self._timer()

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        taken = self._timer() - self._start
        self._typical += _NEWEST_SHARE * (taken - self._typical)
        self._lock.release()

    def too_late(self, start: float, deadline_ms: int | None) -> bool:
        """Tell whether a request of `start` has less time left than a list takes.

        Parameters
        ----------
        start : float
            When the request came, by the timer.
        deadline_ms : int or None
            Milliseconds that it may take in all; None for no bound.
        """
        left = self.seconds_left(start, deadline_ms)
        return left is not None and left < self._typical

    def seconds_left(self, start: float, deadline_ms: int | None) -> float | None:
        """Return what is left of a request's time in seconds; None where it has no bound."""
        return None if deadline_ms is None else deadline_ms / 1_000 - (self._timer() - start)
