"""Cache of encoded responses, which are valid until the stamp of the engine changes.

The stamp changes with each record, erasure and promotion. A response is stored with the stamp that
was read before it was computed. When the stamp changes, all responses are removed, so that single
responses need not be invalidated.
"""

from collections.abc import Callable

from nearline.deployment.stamp import Stamp
from nearline.served import Served
from nearline.server.host import EngineHost
from nearline.server.limits import Limits

# Path and query of a request, as they were sent.
Key = tuple[bytes, bytes]
Headers = tuple[tuple[bytes, bytes], ...]
# Headers of a response, its body, whether it was computed before any request, and its entry of the
# served log. A tuple of atomic values, so that the garbage collector does not track it.
CachedResponse = tuple[Headers, bytes, bool, Served | None]

# Memory of an entry in bytes, in addition to its key and body.
ENTRY_BYTES = 300


class AnswerCache:
    """Cache of responses with the same stamp; to be used only from the event loop.

    A cache that is full, by number or by bytes, is emptied: frequent requests soon fill it again,
    and look-ups need not maintain an order of entries.

    Attributes
    ----------
    hits : list of int
        Number of responses sent from the cache that were first computed for a request, and of those
        that were computed before any request.
    misses : int
        Number of requested lists that were not in the cache.
    made_ahead : int
        Number of responses that were cached before any request.
    serve : callable
        Adds the entry of a cached response to the served log.
    """

    def __init__(self, host: EngineHost, limits: Limits):
        self._host = host
        self._max_entries = limits.cache_entries
        self._max_bytes = limits.budget.cache
        self._stamp: Stamp | None = None
        self._answers: dict[Key, CachedResponse] = {}
        self._headers: dict[Headers, Headers] = {}
        self._bytes = 0
        self.serve: Callable[[Served], None] = _nothing_cached
        self.hits = [0, 0]
        self.misses = 0
        self.made_ahead = 0

    @property
    def held(self) -> int:
        """Bytes of the cached responses, including invalid ones that were not removed yet."""
        return self._bytes

    @property
    def stamp(self) -> Stamp | None:
        """Current stamp of the engine; None if nothing may be cached."""
        return self._host.stamp

    def get(self, key: Key) -> CachedResponse | None:
        """Return the response to a request if it is cached and valid, or None."""
        stamp = self._host.stamp
        if stamp is not self._stamp and stamp != self._stamp:
            self.drop_stale()
            return None
        return self._answers.get(key)

    def drop_stale(self) -> None:
        """Remove responses that are no longer valid, which may contain data of an erased user."""
        if self._answers and self._stamp != self._host.stamp:
            self._empty()

    def put(self, key: Key, stamp: Stamp, response: CachedResponse) -> None:
        """Store a response, if it is valid and not too large.

        Parameters
        ----------
        key : (bytes, bytes)
            Path and query of the request.
        stamp : Stamp
            Stamp of the engine, read before the response was computed.
        response : CachedResponse
            Response to store.
        """
        if stamp != self._stamp:
            if stamp != self._host.stamp:
                return  # the data changed while the response was computed
            self._empty()
            self._stamp = stamp
        headers, body, ahead, served = response
        size = len(key[0]) + len(key[1]) + len(body) + ENTRY_BYTES
        if key in self._answers or size > self._max_bytes or self._max_entries == 0:
            return
        if served is not None:
            self.serve = self._host.engine.served.add
        if len(self._answers) >= self._max_entries or self._bytes + size > self._max_bytes:
            self._empty()
        # Most responses have equal headers, since only the length varies.
        headers = self._headers.setdefault(headers, headers)
        self._answers[key] = (headers, body, ahead, served)
        self._bytes += size
        self.made_ahead += ahead

    def __len__(self) -> int:
        self.drop_stale()
        return len(self._answers)

    def _empty(self) -> None:
        self._answers = {}
        self._headers = {}
        self._bytes = 0


def _nothing_cached(_: Served) -> None:
    raise RuntimeError("no response with an entry of the served log was cached")
