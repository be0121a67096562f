"""Load of the server: the number of requests in flight, and the queue of lists to compute."""

import asyncio
from collections.abc import Callable
from types import TracebackType

from nearline.errors import Overloaded

# Weight of the latest list in the moving average of computation times.
_NEWEST_SHARE = 0.1


class Traffic:
    """Number of requests in flight, and its limit.

    Attributes
    ----------
    in_flight : int
        Requests without a response yet; cached lists are not counted.
    last : float
        Arrival of the latest request, in seconds of the app's timer.
    """

    def __init__(self, limit: int):
        self._limit = limit
        self.in_flight = 0
        self.last = 0.0

    def check(self) -> None:
        """Raise `Overloaded` if more requests than the limit are in flight."""
        if self.in_flight > self._limit:
            raise Overloaded(
                f"{self._limit:,} requests are in flight, which is the limit; try again in a second"
            )


class ComputeQueue:
    """Lets lists be computed one at a time, in the order of their requests.

    A list blocks the event loop while it is computed. Before each computation the loop runs once,
    to accept requests and send cached lists.

    Parameters
    ----------
    timer : callable
        Monotonic clock in seconds.
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
        """Return whether a request has less time left than computing a list takes.

        Parameters
        ----------
        start : float
            Arrival of the request, in seconds of the timer.
        deadline_ms : int or None
            Maximum duration of the request; None for no deadline.
        """
        left = self.seconds_left(start, deadline_ms)
        return left is not None and left < self._typical

    def seconds_left(self, start: float, deadline_ms: int | None) -> float | None:
        """Return the seconds until a request's deadline; None if it has none."""
        return None if deadline_ms is None else deadline_ms / 1_000 - (self._timer() - start)
