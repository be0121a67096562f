"""Search of the log for users with expired events."""

from msgspec import Struct

from nearline.common.progress import Progress, no_progress
from nearline.log import Readable
from nearline.schema import Event, ItemsShown
from nearline.schema.retention import FIRST_TIME, Cutoffs, cutoff_of

# Users of one search, which bounds its memory; another search finds the rest.
MOST_USERS = 100_000
_EVERY = 100_000


class ExpiredUsers(Struct, frozen=True):
    """Users with expired events.

    Attributes
    ----------
    user_ids : list of str
        At most `MOST_USERS`, each once, in the order of the log.
    more : bool
        Whether there are others.
    left : float or None
        Seconds until the next event expires; None if no event of the log will.
    """

    user_ids: list[str]
    more: bool
    left: float | None


def expired_users(
    log: Readable, cutoffs: Cutoffs, *, progress: Progress = no_progress
) -> ExpiredUsers:
    """Read the log once and return users with events before the time in `cutoffs` of their kind."""
    users: dict[str, None] = {}
    left: float | None = None
    more, end = False, log.end
    for offset, record in log.read(0, end):
        if offset % _EVERY == 0:
            progress(offset, end, "find expired events")
        cutoff = cutoff_of(record, cutoffs)
        if cutoff is None or not isinstance(record, Event | ItemsShown):
            continue
        age = record.timestamp - cutoff
        if age >= 0:
            left = age if left is None else min(left, age)
        elif record.timestamp >= FIRST_TIME and record.user_id not in users:
            more = more or len(users) == MOST_USERS
            if not more:
                users[record.user_id] = None
    return ExpiredUsers(list(users), more, left)
