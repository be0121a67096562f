"""Cached lists for requests whose headers were checked before, in front of all other middlewares.

Under load, most requests ask for lists that are cached, and the requests of a client have the same
headers. Their answers, metrics and log lines are the same as those of `Exchanges`, but a request
does not pass through the middlewares one by one, which would take longer than its answer.
"""

from collections.abc import Awaitable, Callable
from typing import Any

from litestar.types import HTTPScope, Receive, Send

from nearline.server.cache import CachedResponse, Headers
from nearline.server.context import AppContext
from nearline.server.exchange import PART_BYTES, timing_of
from nearline.server.middleware.allowed_hosts import AllowedHosts
from nearline.server.middleware.api_keys import ApiKeys, key_in
from nearline.server.middleware.cached_answers import LISTS
from nearline.server.middleware.exchanges import QUESTION_MARK, Exchanges
from nearline.server.middleware.request_log import RequestLog
from nearline.server.middleware.request_rates import KeyRates
from nearline.server.offsets import MIN_OFFSET
from nearline.trust.grants import EVERYTHING, Access

# Headers with which a request is more than a question for a list that may be cached.
_SPECIAL = frozenset({b"origin", b"x-request-id", b"sec-gpc", b"nearline-user-token", MIN_OFFSET})
# Maximum number of different headers that are remembered, and their maximum size in bytes.
MAX_REMEMBERED, MAX_BYTES = 1_000, 2_000


class RepeatedReads:
    """Answers repeated requests from the cache; passes all others on.

    Only for servers without rates per address, namespaces and pseudonyms, which depend on more than
    the headers. Requests with headers that were seen before are not verified again, but share the
    `Access` of their key, which ends when the key does.

    Parameters
    ----------
    exchanges : Exchanges
        Receives all other requests.
    hosts, keys, rates : AllowedHosts, ApiKeys, KeyRates
        Hosts that were checked, and checks of keys.
    request_log : RequestLog
    new_request_id : callable
        Returns an ID for a request.

    Notes
    -----
    Headers are looked up in a dictionary, keys included. Its time says nothing about keys: Python
    hashes bytes by SipHash with a secret of the process, and compares bytes only if all 64 bits of
    the hashes are equal, so nobody can approach a key byte by byte. When a key has ended, the
    headers of all keys are dropped.
    """

    def __init__(
        self,
        exchanges: Exchanges,
        context: AppContext,
        *,
        hosts: AllowedHosts,
        keys: ApiKeys,
        rates: KeyRates,
        request_log: RequestLog,
        new_request_id: Callable[[], str],
    ) -> None:
        self._exchanges = exchanges
        self.cached = exchanges.cached
        self._cache = context.cache
        self._traffic = context.traffic
        self._timer = context.timer
        self._flow = context.flow
        self._hosts = hosts
        self._access, self._clock = keys.access, context.clock
        self._late = rates.late
        self._log = request_log.writer("GET", LISTS, 200)
        self._count = context.metrics.counter("GET", LISTS, 200)
        self._new_request_id = new_request_id
        # Headers with which all lists may be read.
        self._readers: dict[Headers, Access] = {}

    def __call__(self, scope: HTTPScope, receive: Receive, send: Send) -> Awaitable[None]:
        """Answer one request."""
        if scope["method"] == "GET":
            path = scope["raw_path"]
            if QUESTION_MARK in path:  # some servers do not remove the query
                path = path.partition(b"?")[0]
            answer = self._cache.get((path, scope["query_string"]))
            if answer is not None and len(answer[1]) <= PART_BYTES:
                headers: Any = tuple(scope["headers"])
                access = self._readers.get(headers) or self._remember(headers)
                if access is not None and self._may(access):
                    return self._answer(path, answer, send)
        return self._exchanges(scope, receive, send)

    def _may(self, access: Access) -> bool:
        """Return whether whoever has an access may read a list now."""
        now = self._clock()
        if now >= access.ends:
            self._readers.clear()
            return False
        access.used = now
        return access.grant is EVERYTHING or not self._late(access.grant)

    async def _answer(self, path: bytes, answer: CachedResponse, send: Send) -> None:
        start = self._traffic.last = self._timer()
        headers, body, made_ahead, served = answer
        if served is not None:
            self._cache.serve(served)
        request_id = self._new_request_id()
        marked = [
            *headers,
            (b"x-request-id", request_id.encode()),
            timing_of(self._timer() - start),
        ]
        try:
            await send({"type": "http.response.start", "status": 200, "headers": marked})
            await send({"type": "http.response.body", "body": body, "more_body": False})
        finally:
            self._cache.hits[made_ahead] += 1
            seconds = self._timer() - start
            self._count(seconds)
            self._log(request_id, seconds)
            if self._flow.viewers:
                self._flow.note_answer(path, LISTS, 200, seconds)

    def _remember(self, headers: Headers) -> Access | None:
        """Return and remember the access of requests that ask for a list and nothing else.

        None if these headers say more, or do not allow all lists.
        """
        names = dict(headers)
        if (
            len(names) < len(headers)
            or not self._hosts.checked(names.get(b"host"))
            or not _SPECIAL.isdisjoint(names)
            or sum(len(name) + len(value) for name, value in headers) > MAX_BYTES
        ):
            return None
        access = self._access(key_in(names))
        if access is None or not access.grant.trusted or access.grant.namespaces is not None:
            return None
        if len(self._readers) >= MAX_REMEMBERED:
            self._readers.clear()
        self._readers[headers] = access
        return access
