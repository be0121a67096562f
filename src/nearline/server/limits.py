"""Limits of single requests and of the server."""

from msgspec import Struct


class Limits(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Limits of the server; requests above them are refused before they use resources.

    Attributes
    ----------
    body_bytes : int
        Maximum bytes of a body; a larger one is refused before it is read completely.
    body_seconds : float
        Seconds within which a body must arrive.
    body_bytes_per_second : int
        Bytes per second at which a body may continue to arrive after that time.
    bodies_bytes : int
        Maximum total bytes of the bodies of requests in flight; further ones are refused with 503.
    answers_bytes : int
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
    cache_entries, cache_bytes : int
        Maximum number and total size of cached answers; 0 disables the cache.
    preload_per_second : int
        Maximum number of lists computed in advance per second; 0 disables preloading.
    """

    body_bytes: int = 10_000_000
    body_seconds: float = 10.0
    body_bytes_per_second: int = 20_000
    bodies_bytes: int = 256_000_000
    answers_bytes: int = 128_000_000
    list_length: int = 10_000
    history_length: int = 1_000
    exclude_length: int = 1_000
    rank_length: int = 10_000
    batch_lines: int = 100_000
    preload_length: int = 10_000
    in_flight: int = 1_000
    wait_seconds: float = 1.0
    cache_entries: int = 200_000
    cache_bytes: int = 256_000_000
    preload_per_second: int = 100
