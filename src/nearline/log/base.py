"""The log port: what any log must do. `nearline.testing.log_contract` is its test suite."""

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from pathlib import Path
from typing import Protocol, Self

from msgspec import Struct

from nearline.schema import Event, Item, ItemDeleted, ItemPatched, Record

Appendable = Event | Item | ItemPatched | ItemDeleted
# Called after a commit is durable and before its futures are resolved, in offset order,
# from one thread: so whoever waits on an append finds the state already changed.
OnCommit = Callable[[Sequence[tuple[int, Record]]], None]
# Called with the user and the events that were erased, before the erase is acknowledged.
OnErase = Callable[[str, Sequence[tuple[int, Event]]], None]


class Appended(Struct, frozen=True):
    """What became of one append.

    Attributes
    ----------
    accepted, duplicates : int
        Records stored, and events whose `event_id` was known and which were not stored again.
    offset : int
        End of the log after this append: every record of it stands before this offset.
    """

    accepted: int
    duplicates: int
    offset: int


class Readable(Protocol):
    """The reading side of a log: all that training needs."""

    def read(self, start: int = 0, stop: int | None = None) -> Iterator[tuple[int, Record]]:
        """Yield (offset, record) for offsets in [start, stop), in order; `Erased` included."""
        ...

    @property
    def end(self) -> int:
        """Offset that the next record will get."""
        ...


class ReadOnlyLog(Readable, Protocol):
    """A log that another process may write, as far as it went when it was opened."""

    @property
    def erasures(self) -> int:
        """Number of erasures at that time."""
        ...

    def close(self) -> None:
        """Release the files."""
        ...

    def __enter__(self) -> Self: ...

    def __exit__(self, *error: object) -> None: ...


class Log(Readable, Protocol):
    """Append-only, durable, one writer; offsets rise strictly from 0 and are never reused."""

    def append(self, records: Sequence[Appendable]) -> Future[Appended]:
        """Queue `records` as one unit (all or none); the future resolves once it is durable."""
        ...

    def known(self, event_ids: Sequence[str]) -> list[bool]:
        """Whether each of `event_ids` is that of a stored event."""
        ...

    def tail(self, offset: int = 0) -> Iterator[tuple[int, Record]]:
        """Yield (offset, record) from `offset` on, and go on as records are committed.

        The iterator waits for the next commit, and raises `Closed` once the log is closed.
        """
        ...

    def events_of(self, user_id: str) -> list[tuple[int, Event]]:
        """Every event of a user with its offset, in order."""
        ...

    def erase(self, user_id: str) -> Future[int]:
        """Turn every event of `user_id` into an empty tombstone; the future gives their number."""
        ...

    def erase_event(self, event_id: str) -> Future[int]:
        """Turn the event with this id into an empty tombstone; the future gives 1, or 0."""
        ...

    def listen(self, on_commit: OnCommit, on_erase: OnErase) -> None:
        """Name the one listener; call it before the first append."""
        ...

    def copy_to(self, path: Path) -> None:
        """Write a consistent copy of the log to `path`, where no file may exist."""
        ...

    @property
    def erasures(self) -> int:
        """How many erasures there have been: what was derived before the last one is stale."""
        ...

    def close(self) -> None:
        """Finish what is queued and release the files; safe to call twice."""
        ...
