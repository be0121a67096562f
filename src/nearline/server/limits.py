"""How much one request may ask for."""

from msgspec import Struct


class Limits(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Bounds on one request: what is larger is refused before it costs anything.

    Attributes
    ----------
    body_bytes : int
        Size of a body; a larger one is refused without being read to its end.
    list_length : int
        Events or catalogue entries in one call.
    history_length : int
        Items in the history of a session.
    exclude_length : int
        Items that a request may exclude.
    rank_length : int
        Items to put in order.
    """

    body_bytes: int = 10_000_000
    list_length: int = 10_000
    history_length: int = 1_000
    exclude_length: int = 1_000
    rank_length: int = 10_000
