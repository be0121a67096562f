"""Computation of lists in advance, for users who are expected to return.

Lists are computed while the server is idle, the most recent user first, at a limited rate. Each is
computed like the answer to a request and stored in the cache.
"""

import asyncio
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Iterable
from urllib.parse import quote

from nearline.deployment.stamp import Stamp
from nearline.server.cache import AnswerCache, Key
from nearline.server.logs import JsonLog
from nearline.server.traffic import Traffic

# Seconds without a request after which the server is idle.
IDLE_SECONDS = 0.005
# Seconds between checks of the stamp: a model can change without any request.
LOOK_SECONDS = 1.0
# Maximum number of recent users, and of users of each hour of the day.
RECENT_USERS = 10_000
HOURLY_USERS = 1_000
_HOUR = 3_600.0

# Users, the most recent last, each with the request for the user's latest list.
Users = OrderedDict[str, Key | None]


class Preloader:
    """Remembers users who may return, and fills the cache with their lists in idle time.

    Users are expected to return after they requested a list, had an event or were passed to
    `expect`. Those who did so in the current hour of an earlier day (UTC) come last. Each list is
    computed for the latest request of its user, or, if there was none, with the query of the latest
    request of any user.

    Parameters
    ----------
    cache : AnswerCache
        Cache in which the lists are stored.
    traffic : Traffic
        Provides the time of the latest request.
    per_second : int
        Maximum number of lists per second; 0 disables preloading.
    clock, timer : callable
        Unix time, and a monotonic clock, in seconds.
    """

    def __init__(
        self,
        cache: AnswerCache,
        traffic: Traffic,
        *,
        per_second: int,
        clock: Callable[[], float],
        timer: Callable[[], float],
    ):
        self._cache = cache
        self._traffic = traffic
        self._per_second = per_second
        self._clock = clock
        self._timer = timer
        self._recent: Users = OrderedDict()
        self._hours: tuple[Users, ...] = tuple(OrderedDict() for _ in range(24))
        self._hour = self._hour_now()
        self._query = b""
        self._stamp: Stamp | None = None
        self._pending: list[str] = []
        self._news = asyncio.Event()

    def asked(self, user_id: str, key: Key) -> None:
        """Remember the request for a user's list."""
        self._query = key[1]
        self._remember(user_id, key)

    def expect(self, user_ids: Iterable[str]) -> None:
        """Schedule the computation of these users' lists, that of the last user first."""
        for user_id in user_ids:
            self._remember(user_id, self._recent.get(user_id))
            self._pending.append(user_id)
        del self._pending[:-RECENT_USERS]
        self._news.set()

    def forget(self, user_id: str) -> None:
        """Remove all data of a user."""
        self._recent.pop(user_id, None)
        for users in self._hours:
            users.pop(user_id, None)
        self._pending = [other for other in self._pending if other != user_id]

    def due(self) -> Key | None:
        """Return the request for the next list to compute; None if there is none."""
        if self._hour != self._hour_now():
            self._hour = self._hour_now()
            self._recall(self._hours[self._hour])
        if self._cache.stamp != self._stamp:
            self._stamp = self._cache.stamp
            self._pending = list(self._recent)
        while self._pending:
            user_id = self._pending.pop()
            if user_id in self._recent:
                key = self._recent[user_id] or _key(user_id, self._query)
                if self._cache.get(key) is None:
                    return key
        return None

    async def run(self, make: Callable[[Key], Awaitable[None]], log: JsonLog) -> None:
        """Compute lists in idle time until cancelled.

        Parameters
        ----------
        make : callable
            Computes one list and stores it in the cache.
        """
        while self._per_second:
            await self._idle()
            key = self.due() if self._cache.stamp is not None else None
            if key is None:
                self._news.clear()
                await _first_of(self._news, LOOK_SECONDS)
                continue
            try:
                await make(key)
            except Exception as error:  # a failure must not end the loop
                log.failure("a list could not be computed in advance", error)
            await asyncio.sleep(1.0 / self._per_second)

    async def _idle(self) -> None:
        """Wait until no request is in flight or has arrived in the last `IDLE_SECONDS`."""
        while True:
            quiet = self._timer() - self._traffic.last
            if quiet >= IDLE_SECONDS and not self._traffic.in_flight:
                return
            await asyncio.sleep(max(IDLE_SECONDS - quiet, 0.001))

    def _remember(self, user_id: str, key: Key | None) -> None:
        _push(self._recent, user_id, key, RECENT_USERS)
        _push(self._hours[self._hour_now()], user_id, None, HOURLY_USERS)

    def _recall(self, users: Iterable[str]) -> None:
        """Add the users of an hour after the recent ones."""
        for user_id in users:
            if user_id not in self._recent and len(self._recent) < RECENT_USERS:
                self._recent[user_id] = None
                self._recent.move_to_end(user_id, last=False)
                self._pending.insert(0, user_id)

    def _hour_now(self) -> int:
        return int(self._clock() // _HOUR % 24)


def _key(user_id: str, query: bytes) -> Key:
    return f"/v1/users/{quote(user_id, safe='')}/recommendations".encode(), query


def _push(users: Users, user_id: str, key: Key | None, most: int) -> None:
    users[user_id] = key
    users.move_to_end(user_id)
    if len(users) > most:
        users.popitem(last=False)


async def _first_of(event: asyncio.Event, seconds: float) -> None:
    try:
        await asyncio.wait_for(event.wait(), seconds)
    except TimeoutError:
        return
