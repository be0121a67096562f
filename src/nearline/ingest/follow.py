"""Connection of a state to its log: stored records first, then each commit and erasure."""

from collections.abc import Callable, Sequence

from nearline.common.progress import Progress, no_progress
from nearline.log import Log, Readable, in_blocks
from nearline.schema import Consent, Event, Record, UserRecord
from nearline.state import Reflected, State


def _nothing() -> None:
    """Do nothing."""


def follow(
    log: Log,
    state: State,
    *,
    on_change: Callable[[], None] = _nothing,
    on_erased: Callable[[], None] = _nothing,
) -> None:
    """Apply the stored records of `log` to `state`, and then each later commit and erasure.

    Call it before the first append. Every event enters the state in this way: `Log.listen`
    calls `State.apply` with the stored records from the state's offset on and then with each
    commit, and `State.forget` with each erasure. An append is acknowledged after `State.apply` has
    returned.

    Parameters
    ----------
    on_change : callable
        Called after each commit and erasure in a thread of the log, so it must return quickly.
    on_erased : callable
        Called after each erasure, before the erasure is acknowledged.
    """

    def apply(records: Sequence[tuple[int, Record]]) -> None:
        state.apply(records)
        on_change()

    def forget(user_id: str, records: Sequence[tuple[int, UserRecord]]) -> None:
        # If a single event was erased, the other records of the user remain.
        state.forget(user_id, records, log.records_of(user_id))
        on_erased()
        on_change()

    state.reflected = Reflected(state.offset, log.erasures)
    state.events_of = log.events_of
    log.listen(apply, forget, start=state.offset)


def replay(log: Readable, state: State, *, progress: Progress = no_progress) -> None:
    """Apply the records of a read-only log to `state`; progress is reported in offsets."""
    state.events_of = _EventsOf(log, state.offset)
    for block in in_blocks(log.read(state.offset)):
        state.apply(block)
        progress(state.offset, log.end, "replay the log")


class _EventsOf:
    """Events of a user in a log without an index, of users with a `Consent` from an offset on.

    The first call reads the log twice: for these users, and for their events.
    """

    def __init__(self, log: Readable, start: int) -> None:
        self._log, self._start = log, start
        self._found: dict[str, list[tuple[int, Event]]] | None = None

    def __call__(self, user_id: str) -> list[tuple[int, Event]]:
        if self._found is None:
            rest = self._log.read(self._start)
            said = (record for _, record in rest if isinstance(record, Consent))
            self._found = {record.user_id: [] for record in said}
            for offset, record in self._log.read():
                if isinstance(record, Event) and record.user_id in self._found:
                    self._found[record.user_id].append((offset, record))
        return self._found.get(user_id, [])
