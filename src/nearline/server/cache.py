"""Finished answers as bytes, each right for exactly as long as the engine's stamp stands.

The engine's stamp changes with every record, erasure and model. An answer is kept under the stamp
that was read before it was made; when the stamp moves, all answers are dropped at once. There is
nothing to invalidate one by one, and so nothing to forget.
"""

from nearline.server.host import EngineHost
from nearline.server.limits import Limits

# What an answer is asked by: the path and the query as they were sent.
Key = tuple[bytes, bytes]
Stamp = tuple[int, int]
Headers = tuple[tuple[bytes, bytes], ...]

# Python's own cost of an entry, beside the bytes of its key and its body.
ENTRY_BYTES = 300


# Headers as the API gave them, without the request's id; the body; whether it was made before
# anyone asked. A plain tuple of atoms: the garbage collector leaves it out of its rounds.
CachedResponse = tuple[Headers, bytes, bool]


class AnswerCache:
    """Answers of one stamp, in one dictionary; used from the event loop alone.

    When it is full, by number or by bytes, it is emptied and filled anew: what is asked often is
    back soon, and a look-up has nothing to keep in order.

    Attributes
    ----------
    hits : list of int
        Answers given from here: those first made for a request, and those made ahead.
    misses : int
        Lists that were asked for and not here.
    made_ahead : int
        Answers put here before anyone asked.
    """

    def __init__(self, host: EngineHost, limits: Limits):
        self._host = host
        self._max_entries = limits.cache_entries
        self._max_bytes = limits.cache_bytes
        self._stamp: Stamp | None = None
        self._answers: dict[Key, CachedResponse] = {}
        self._headers: dict[Headers, Headers] = {}
        self._bytes = 0
        self.hits = [0, 0]
        self.misses = 0
        self.made_ahead = 0

    @property
    def stamp(self) -> Stamp | None:
        """The engine's stamp now; None where no engine is open."""
        return self._host.stamp

    def get(self, key: Key) -> CachedResponse | None:
        """Return the answer to `key` if it is right now; O(1)."""
        if self._stamp != self._host.stamp:
            self.drop_stale()
            return None
        return self._answers.get(key)

    def drop_stale(self) -> None:
        """Let go of answers that are no longer right: they may be those of an erased user."""
        if self._answers and self._stamp != self._host.stamp:
            self._empty()

    def put(self, key: Key, stamp: Stamp, kept: CachedResponse) -> None:
        """Keep an answer; `stamp` is the engine's as it was before the answer was made."""
        if stamp != self._stamp:
            if stamp != self._host.stamp:
                return  # it was overtaken while it was made
            self._empty()
            self._stamp = stamp
        headers, body, ahead = kept
        size = len(key[0]) + len(key[1]) + len(body) + ENTRY_BYTES
        if key in self._answers or size > self._max_bytes or self._max_entries == 0:
            return
        if len(self._answers) >= self._max_entries or self._bytes + size > self._max_bytes:
            self._empty()
        # Most answers share their headers: they differ by length alone.
        self._answers[key] = (self._headers.setdefault(headers, headers), body, ahead)
        self._bytes += size
        self.made_ahead += ahead

    def __len__(self) -> int:
        self.drop_stale()
        return len(self._answers)

    def _empty(self) -> None:
        self._answers = {}
        self._headers = {}
        self._bytes = 0
