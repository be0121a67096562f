"""Keeps a state at the end of its log: replay once, then every commit and erasure."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice

from nearline.common.progress import Progress, no_progress
from nearline.log import Log, Readable
from nearline.schema import Event, Record
from nearline.state import State

# Records a replay passes to the state at once: large enough to amortise the call, small in memory.
REPLAY_BLOCK = 10_000


def follow(log: Log, state: State, on_erased: Callable[[], None] = lambda: None) -> None:
    """Bring `state` up to the end of `log` and keep it there: call it before any append.

    `on_erased` is called after each erasure, before it is acknowledged.
    """

    def forget(user_id: str, events: Sequence[tuple[int, Event]]) -> None:
        # What is left where single events were erased.
        state.forget(user_id, events, log.events_of(user_id))
        on_erased()

    replay(log, state)
    log.listen(state.apply, forget)


def replay(log: Readable, state: State, *, progress: Progress = no_progress) -> None:
    """Bring `state` up to the end of `log`; progress is reported in offsets."""
    for block in _blocks(log.read(state.offset), REPLAY_BLOCK):
        state.apply(block)
        progress(state.offset, log.end, "fold the log")


def _blocks(records: Iterable[tuple[int, Record]], size: int) -> Iterator[list[tuple[int, Record]]]:
    records = iter(records)
    while block := list(islice(records, size)):
        yield block
