"""Limits of single requests and of the server."""

from msgspec import Struct

from nearline.common.budget import LEAST_BYTES, MOST_BYTES, MemoryBudget, divided
from nearline.models.settings import require


class Limits(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Limits of the server; requests above them are refused before they use resources.

    Attributes
    ----------
    memory : int or None
        Memory budget in bytes, from which the limits below that are None are derived; at least
        128 MB. None means half of the memory of the machine or the container.
    body_bytes : int
        Maximum bytes of a body; a larger one is refused before it is read completely.
    body_seconds : float
        Seconds within which a body must arrive.
    body_bytes_per_second : int
        Bytes per second at which a body may continue to arrive after that time.
    bodies_bytes : int or None
        Maximum total bytes of the bodies of requests in flight; further ones are refused with 503.
    answers_bytes : int or None
        Maximum total bytes of large answers that clients have not read yet; further ones are
        refused with 503.
    list_length : int
        Maximum number of events or catalogue entries in one request.
    history_length : int
        Maximum number of items in the history of a session.
    exclude_length : int
        Maximum number of items that a request may exclude.
    rank_length : int
        Maximum number of items to rank in one request.
    batch_lines : int
        Maximum number of lines of one batch: users times `k`.
    preload_length : int
        Maximum number of users in one request to `/v1/preload`.
    in_flight : int
        Maximum number of requests in flight; further ones are refused with 503.
    wait_seconds : float
        How long a list without a deadline may wait for its turn; if a request would wait longer, it
        is refused with 503.
    cache_entries : int
        Maximum number of cached answers; 0 disables the cache.
    cache_bytes : int or None
        Maximum total bytes of cached answers; 0 disables the cache.
    preload_per_second : int
        Maximum number of lists computed in advance per second; 0 disables preloading.
    """

    memory: int | None = None
    body_bytes: int = 10_000_000
    body_seconds: float = 10.0
    body_bytes_per_second: int = 20_000
    bodies_bytes: int | None = None
    answers_bytes: int | None = None
    list_length: int = 10_000
    history_length: int = 1_000
    exclude_length: int = 1_000
    rank_length: int = 10_000
    batch_lines: int = 100_000
    preload_length: int = 10_000
    in_flight: int = 1_000
    wait_seconds: float = 1.0
    cache_entries: int = 200_000
    cache_bytes: int | None = None
    preload_per_second: int = 100

    def __post_init__(self) -> None:
        """Validate the sizes in bytes; raise `InvalidInput`."""
        if self.memory is not None:
            require(self, "memory", LEAST_BYTES, MOST_BYTES)
        for field in ("bodies_bytes", "answers_bytes", "cache_bytes"):
            if getattr(self, field) is not None:
                require(self, field, 0, MOST_BYTES)
        require(self, "body_bytes", 1, MOST_BYTES)

    @property
    def budget(self) -> MemoryBudget:
        """Maximum bytes of each part: the limit that was set, or its share of `memory`.

        The share for bodies has room for at least one body.
        """
        shares = divided(self.memory)
        given = (self.bodies_bytes, self.answers_bytes, self.cache_bytes)
        bodies, answers, cache = (
            share if own is None else own for own, share in zip(given, shares, strict=False)
        )
        if self.bodies_bytes is None:
            bodies = max(bodies, self.body_bytes)
        return shares._replace(bodies=bodies, answers=answers, cache=cache)
