"""How much one request may ask for, and how much the server holds at a time."""

from msgspec import Struct


class Limits(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Bounds on one request and on all at a time: what is beyond is refused before it costs.

    Attributes
    ----------
    body_bytes : int
        Size of a body; a larger one is refused without being read to its end.
    body_seconds : float
        How long a body may take to arrive.
    body_bytes_per_second : int
        A body that keeps arriving at this rate may take longer.
    bodies_bytes : int
        Size of all bodies that are being received or answered; more are refused with 503.
    list_length : int
        Events or catalogue entries in one call.
    history_length : int
        Items in the history of a session.
    exclude_length : int
        Items that a request may exclude.
    rank_length : int
        Items to put in order.
    batch_lines : int
        Lines in one batch: its users times `k`.
    preload_length : int
        Users in one call of `/v1/preload`.
    in_flight : int
        Requests that may wait for their answers at a time; more are refused with 503.
    cache_entries, cache_bytes : int
        Finished answers kept in memory, by number and by size; 0 keeps none.
    preload_per_second : int
        Lists made ahead a second while no request comes; 0 makes none.
    """

    body_bytes: int = 10_000_000
    body_seconds: float = 10.0
    body_bytes_per_second: int = 20_000
    bodies_bytes: int = 256_000_000
    list_length: int = 10_000
    history_length: int = 1_000
    exclude_length: int = 1_000
    rank_length: int = 10_000
    batch_lines: int = 100_000
    preload_length: int = 10_000
    in_flight: int = 1_000
    cache_entries: int = 200_000
    cache_bytes: int = 256_000_000
    preload_per_second: int = 100
