"""The log port: the interface of every log. `nearline.testing.log_contract` is its test suite."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future
from itertools import islice
from pathlib import Path
from typing import Protocol, Self

from msgspec import Struct

from nearline.schema import Event, Item, ItemDeleted, ItemPatched, Record

Appendable = Event | Item | ItemPatched | ItemDeleted
# Called after a commit is durable and before its futures are resolved, in the order of the offsets
# and by one thread at a time: when an append is acknowledged, the state already contains it.
OnCommit = Callable[[Sequence[tuple[int, Record]]], None]
# Called with the user and the erased events before the erasure is acknowledged.
OnErase = Callable[[str, Sequence[tuple[int, Event]]], None]


class Appended(Struct, frozen=True):
    """Result of one append.

    Attributes
    ----------
    accepted, duplicates : int
        Number of records stored, and of events not stored because their `event_id` was known.
    offset : int
        End of the log after this append: all its records have smaller offsets.
    """

    accepted: int
    duplicates: int
    offset: int


# Records per block of a replay: enough to amortise a call, little enough memory.
REPLAY_BLOCK = 10_000


class Readable(Protocol):
    """The reading side of a log, which is all that training needs."""

    def read(self, start: int = 0, stop: int | None = None) -> Iterator[tuple[int, Record]]:
        """Yield (offset, record) for offsets in [start, stop), in order; `Erased` included."""
        ...

    @property
    def end(self) -> int:
        """Offset of the next record."""
        ...


class ReadOnlyLog(Readable, Protocol):
    """A view of a log, up to where it ended when it was opened; another process may be writing."""

    @property
    def erasures(self) -> int:
        """Number of erasures when it was opened."""
        ...

    def close(self) -> None:
        """Release the files."""
        ...

    def __enter__(self) -> Self: ...

    def __exit__(self, *error: object) -> None: ...


class Log(Readable, Protocol):
    """Append-only, durable, one writer; offsets rise strictly from 0 and are never reused."""

    def append(self, records: Sequence[Appendable]) -> Future[Appended]:
        """Queue `records`, to be stored atomically; the future resolves once they are durable."""
        ...

    def known(self, event_ids: Sequence[str]) -> list[bool]:
        """Whether each of `event_ids` is that of a stored event."""
        ...

    def tail(self, offset: int = 0) -> Iterator[tuple[int, Record]]:
        """Yield (offset, record) from `offset` on, including records committed later.

        The iterator waits for the next commit and raises `Closed` once the log is closed.
        """
        ...

    def events_of(self, user_id: str) -> list[tuple[int, Event]]:
        """Return all events of a user with their offsets, in order."""
        ...

    def erase(self, user_id: str) -> Future[int]:
        """Replace every event of a user by an empty tombstone; the future returns their number."""
        ...

    def erase_event(self, event_id: str) -> Future[int]:
        """Replace the event with this ID by an empty tombstone; the future returns 1, or 0."""
        ...

    def listen(self, on_commit: OnCommit, on_erase: OnErase, start: int = 0) -> None:
        """Set the one listener; call it before the first append.

        `on_commit` first gets the stored records from offset `start` on, in this thread; then each
        commit. Every record from `start` on arrives once, in the order of the offsets.
        """
        ...

    def copy_to(self, path: Path) -> None:
        """Write a consistent copy of the log to a new file, which `open_log` opens."""
        ...

    @property
    def erasures(self) -> int:
        """Number of erasures so far: data derived before the last one is stale."""
        ...

    def close(self) -> None:
        """Write what is queued, then release the files; idempotent."""
        ...


def in_blocks(records: Iterable[tuple[int, Record]]) -> Iterator[list[tuple[int, Record]]]:
    """Yield records in lists of `REPLAY_BLOCK`; the last may be shorter."""
    rest = iter(records)
    while block := list(islice(rest, REPLAY_BLOCK)):
        yield block
