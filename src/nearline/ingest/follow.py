"""Keep a state in step with its log: the stored records first, then every commit and erasure."""

from collections.abc import Callable, Sequence

from nearline.common.progress import Progress, no_progress
from nearline.log import Log, Readable, in_blocks
from nearline.schema import Event, Record
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
    """Bring `state` up to the end of `log` and keep it there. Call it before any append.

    This is the path of every event into the state. `Log.listen` calls `State.apply` with the
    stored records from the state's offset on, then with each commit; and `State.forget` with each
    erasure. An append is acknowledged after `State.apply` has returned.

    Parameters
    ----------
    on_change : callable
        Called after each commit and each erasure, in the log's thread: it must return at once.
    on_erased : callable
        Called after each erasure, before the erasure is acknowledged.
    """

    def apply(records: Sequence[tuple[int, Record]]) -> None:
        state.apply(records)
        on_change()

    def forget(user_id: str, events: Sequence[tuple[int, Event]]) -> None:
        # What is left where single events were erased.
        state.forget(user_id, events, log.events_of(user_id))
        on_erased()
        on_change()

    state.reflected = Reflected(state.offset, log.erasures)
    log.listen(apply, forget, start=state.offset)


def replay(log: Readable, state: State, *, progress: Progress = no_progress) -> None:
    """Bring `state` up to the end of a log that is only read; progress is reported in offsets."""
    for block in in_blocks(log.read(state.offset)):
        state.apply(block)
        progress(state.offset, log.end, "fold the log")
