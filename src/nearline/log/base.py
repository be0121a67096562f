"""Interfaces of logs. `nearline.testing.log_contract` contains tests that each log must pass."""

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future
from itertools import islice
from pathlib import Path
from typing import NamedTuple, Protocol, Self, runtime_checkable

from msgspec import Struct

from nearline.errors import Closed
from nearline.schema import CatalogueRecord, DefinitionRecord, Event, Record, UserRecord
from nearline.schema.retention import Cutoffs
from nearline.sealing import Seal

Appendable = UserRecord | CatalogueRecord | DefinitionRecord
# Called after a commit is durable and before its futures are resolved, in the order of offsets and
# by one thread at a time, so that the state contains an append when it is acknowledged.
OnCommit = Callable[[Sequence[tuple[int, Record]]], None]
# Called with the user and the erased records before the erasure is acknowledged.
OnErase = Callable[[str, Sequence[tuple[int, UserRecord]]], None]


class ForgottenRows(Struct, frozen=True):
    """The set as it is stored and copied.

    Attributes
    ----------
    secret : bytes
        Key of the hashes; empty if nobody was erased.
    users : list of (bytes, float)
        Hash of each user, and the time of the erasure in Unix seconds, oldest first.
    events : list of bytes
        Hashes of the IDs of erased events, oldest first.
    """

    secret: bytes = b""
    users: list[tuple[bytes, float]] = []
    events: list[bytes] = []


class Appended(Struct, frozen=True, omit_defaults=True):
    """Result of an append.

    Attributes
    ----------
    accepted, duplicates : int
        Number of records that were stored, and of events that were not, since their `event_id` was
        already in the log.
    offset : int
        End of the log after the append: all its records have smaller offsets.
    forgotten : int
        Number of events that were not stored, since their user was erased after them; see
        `nearline.log.forgotten`.
    """

    accepted: int
    duplicates: int
    offset: int
    forgotten: int = 0


# Number of records in a block of a replay: enough to amortise a call, with little memory.
REPLAY_BLOCK = 10_000


class Readable(Protocol):
    """Protocol of logs that can be read, as training requires."""

    def read(self, start: int = 0, stop: int | None = None) -> Iterator[tuple[int, Record]]:
        """Yield (offset, record), `Erased` included, for offsets from `start` to ``stop - 1``."""
        ...

    @property
    def end(self) -> int:
        """Offset of the next record."""
        ...


@runtime_checkable
class ReadsPayloads(Protocol):
    """Protocol of logs that also return encoded records, which `codec.decode` decodes.

    Optional; training then reads events without an object for each of them.
    """

    def payloads(
        self, start: int = 0, stop: int | None = None
    ) -> Iterator[tuple[int, list[bytes]]]:
        """Yield the offset of the first record and the payloads of blocks of records, in order.

        A payload that begins with a zero byte stands for `Erased`.
        """
        ...


class ReadOnlyLog(Readable, Protocol):
    """Protocol of read-only views of a log, which end where the log ended when it was opened.

    Another process may write to the log.
    """

    @property
    def seal(self) -> Seal | None:
        """Seal of the records; None if they are not sealed."""
        ...

    @property
    def erasures(self) -> int:
        """Number of erasures when the log was opened."""
        ...

    @property
    def forgotten(self) -> ForgottenRows:
        """Hashes of erased users, which a copy of the log needs."""
        ...

    def copy_to(self, path: Path) -> None:
        """Write a copy of the log to a new SQLite file; it may contain later records, too."""
        ...

    def close(self) -> None:
        """Release the files."""
        ...

    def __enter__(self) -> Self: ...

    def __exit__(self, *error: object) -> None: ...


class Log(Readable, Protocol):
    """Protocol of append-only, durable logs with one writer.

    Offsets begin at 0, increase by 1 with each record, and are not used again.
    """

    def append(self, records: Sequence[Appendable], *, readmit: bool = False) -> Future[Appended]:
        """Queue records to be stored atomically; the future is resolved when they are durable.

        Events of users who were erased after them are left out, unless `readmit` is true.
        """
        ...

    def known(self, event_ids: Sequence[str]) -> list[bool]:
        """Return for each of `event_ids` whether an event with this ID is stored."""
        ...

    def tail(self, offset: int = 0) -> Iterator[tuple[int, Record]]:
        """Yield (offset, record) from `offset` on, including records committed later.

        The iterator waits for the next commit. It raises `Closed` when the log is closed.
        """
        ...

    def events_of(self, user_id: str) -> list[tuple[int, Event]]:
        """Return all events of a user with their offsets, in order."""
        ...

    def records_of(self, user_id: str) -> list[tuple[int, UserRecord]]:
        """Return all records that name a user with their offsets, in order."""
        ...

    def erase(self, user_id: str, at: float | None = None) -> Future[int]:
        """Replace all records that name a user by tombstones; the future returns their number.

        `at` is the time of the erasure in Unix seconds: older events of the user, and those with
        the ID of an erased event, are not stored again. None remembers nothing.
        """
        ...

    def erase_event(self, event_id: str) -> Future[int]:
        """Replace the event with this ID by an empty tombstone; the future returns 1, or 0."""
        ...

    def erase_expired(self, user_id: str, cutoffs: Cutoffs) -> Future[int]:
        """Replace the oldest expired events of a user by tombstones; the future returns how many.

        At most 500 at once: the caller repeats it until the result is 0. `cutoffs` is the time in
        Unix seconds before which events of each kind are expired.
        """
        ...

    def listen(self, on_commit: OnCommit, on_erase: OnErase, start: int = 0) -> None:
        """Set the only listener of the log; it must be called before the first append.

        `on_commit` is first called in this thread with the stored records from offset `start` on,
        and then with each commit. It receives each record once, in the order of offsets.
        """
        ...

    def copy_to(self, path: Path) -> None:
        """Write a consistent copy of the log to a new file, which `open_log` can open."""
        ...

    @property
    def seal(self) -> Seal | None:
        """Seal of the records; None if they are not sealed."""
        ...

    @property
    def queued_bytes(self) -> int:
        """Bytes of the encoded records that wait to be written."""
        ...

    @property
    def erasures(self) -> int:
        """Number of erasures; data that was derived from the log before the last one is invalid."""
        ...

    def close(self) -> None:
        """Store all queued records, then release the files; idempotent."""
        ...


class Watcher(Protocol):
    """Protocol of objects that receive each change after the listener, in the same thread."""

    def committed(self, end: int) -> None:
        """Note that the listener has received the records before `end`."""
        ...

    def erased(
        self,
        user_id: str,
        erased: Sequence[tuple[int, UserRecord]],
        kept: Sequence[tuple[int, UserRecord]],
    ) -> None:
        """Note that the listener has received an erasure; `kept` are the user's other records."""
        ...


class Lease(NamedTuple):
    """Right of one server at a time to do something, such as training.

    Attributes
    ----------
    name : str
    epoch : int
        Rises with each change of the holder. Records with an older epoch are refused.
    """

    name: str
    epoch: int


@runtime_checkable
class SharedLog(Log, Protocol):
    """Protocol of logs to which several servers append, and which each of them follows."""

    def __enter__(self) -> Self: ...

    def __exit__(self, *error: object) -> None: ...

    @property
    def log_id(self) -> str:
        """ID of the log, which no other log has."""
        ...

    @property
    def secret(self) -> bytes:
        """Secret with which all servers sign cursors."""
        ...

    @property
    def behind(self) -> int:
        """Number of records that the listener has not received yet."""
        ...

    @property
    def failure(self) -> BaseException | None:
        """Why the log cannot be followed any more; None if it can."""
        ...

    def lease(self, name: str, seconds: float) -> Lease | None:
        """Take or keep a lease for some seconds; None if another server has it."""
        ...

    def now(self) -> float:
        """Return the time of the database in Unix seconds, which all servers share."""
        ...

    def release(self, lease: Lease) -> None:
        """Give up a lease before its end."""
        ...

    def append_under(self, lease: Lease | None, records: Sequence[Appendable]) -> Future[Appended]:
        """Append, or raise `StaleLease` in the future if another server has taken the lease."""
        ...


def in_blocks(records: Iterable[tuple[int, Record]]) -> Iterator[list[tuple[int, Record]]]:
    """Yield records in lists of `REPLAY_BLOCK` records; the last list may be shorter."""
    rest = iter(records)
    while block := list(islice(rest, REPLAY_BLOCK)):
        yield block


def check_process(opened_by: int) -> None:
    """Raise `Closed` in a process that was forked from the one that opened a log."""
    # The threads of the log do not exist there, and SQLite forbids its use.
    if opened_by != os.getpid():
        raise Closed(
            f"the log was opened by process {opened_by}, from which this one was forked; "
            "open the store in the process that uses it"
        )
