"""Load of the server: the number of requests in flight, and the queue of lists to compute."""

import asyncio
import math
from collections.abc import Callable
from types import TracebackType

from nearline.errors import Overloaded

# Weight of the latest list in the moving average of computation times.
_NEWEST_SHARE = 0.1
# Factor of the maximum wait after which a request that was accepted is refused all the same.
_PATIENCE = 1.5


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

    If requests arrive faster than lists can be computed, the newest are refused, so that the others
    are answered before their clients give up. Otherwise, all would wait ever longer, and most lists
    would be computed for clients that are gone.

    Parameters
    ----------
    timer : callable
        Monotonic clock in seconds.
    wait_seconds : float
        Maximum seconds that a request without a deadline may wait for its turn, as expected from
        the requests before it.
    """

    def __init__(self, timer: Callable[[], float], wait_seconds: float = math.inf):
        self._timer = timer
        self._wait_seconds = wait_seconds
        self._lock = asyncio.Lock()
        self._start = 0.0
        self._typical = 0.0
        self._waiting = 0

    async def __aenter__(self) -> None:
        self._waiting += 1
        try:
            await self._lock.acquire()
            # The time includes what the loop does before the computation.
            self._start = self._timer()
            try:
                await asyncio.sleep(0)
            except BaseException:
                self._lock.release()
                raise
        except BaseException:
            self._waiting -= 1
            raise

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        taken = self._timer() - self._start
        self._typical += _NEWEST_SHARE * (taken - self._typical)
        self._waiting -= 1
        self._lock.release()

    @property
    def expected_wait(self) -> float:
        """Seconds that a new request would wait for its turn."""
        return self._waiting * self._typical

    def is_too_long(self, start: float, deadline_ms: int | None) -> bool:
        """Return whether a new request would wait too long for its turn.

        Parameters
        ----------
        start, deadline_ms
            As in `too_late`.
        """
        if not self._waiting:
            return False
        left = self.seconds_left(start, deadline_ms)
        return self.expected_wait > (self._wait_seconds if left is None else left)

    def has_waited_too_long(self, start: float, deadline_ms: int | None) -> bool:
        """Return whether a request without a deadline waited much longer than was expected.

        Its client has probably given up.
        """
        return deadline_ms is None and self._timer() - start > _PATIENCE * self._wait_seconds

    def refusal(self) -> Overloaded:
        """Return the error for a request that would wait too long, or did."""
        return Overloaded(
            f"{self._waiting:,} requests wait for lists, which takes longer than "
            f"{self._wait_seconds:g} seconds; try again in a second"
        )

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
