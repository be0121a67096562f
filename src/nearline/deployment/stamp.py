"""What answers depend on, as a value that caches compare."""

from msgspec import Struct


class Stamp(Struct, frozen=True, gc=False):
    """Version of the data behind an answer; equal in every process with the same log and model.

    At the same time, that is: items expire.

    Attributes
    ----------
    model : str
        ID of the active snapshot; ``untrained`` without one. In memory a number follows.
    offset : int
        Every log record before it is reflected in the state and in the model.
    erasures : int
        Number of erasures that both reflect.
    expired : int
        Number of items that have expired.
    period : int
        Number of times, until now, at which a merchandising rule began or ended.
    window : int
        Number of the time window for which lists that explore, or depend on a policy or the time of
        day, hold still; 0 if there are none.
    outcomes : float
        Time up to which exploration reflects what items led to; 0 if it does not.
    others : tuple of str
        IDs of the snapshots of scenarios and experiments that are in use.
    """

    model: str
    offset: int
    erasures: int
    expired: int = 0
    period: int = 0
    window: int = 0
    outcomes: float = 0.0
    others: tuple[str, ...] = ()
