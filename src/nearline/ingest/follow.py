"""Connection of a state to its log: stored records first, then each commit and erasure."""

from collections.abc import Callable, Sequence

from nearline.common.progress import Progress, no_progress
from nearline.log import Log, Readable, in_blocks
from nearline.schema import Record, UserRecord
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
    log.listen(apply, forget, start=state.offset)


def replay(log: Readable, state: State, *, progress: Progress = no_progress) -> None:
    """Apply the records of a read-only log to `state`; progress is reported in offsets."""
    for block in in_blocks(log.read(state.offset)):
        state.apply(block)
        progress(state.offset, log.end, "replay the log")
