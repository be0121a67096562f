"""The log in one SQLite file, or in memory: a queue, one writer thread, group commit."""

from collections.abc import Iterator, Sequence
from concurrent.futures import Future
from pathlib import Path
from threading import Lock
from typing import Self

from nearline.errors import Closed, InvalidInput
from nearline.log.base import Appendable, Appended, OnCommit, OnErase
from nearline.log.block_codec import encode_block
from nearline.log.codec import decode, encode, event_key
from nearline.log.lock import StoreLock
from nearline.log.tables import Tables
from nearline.log.writer import AppendJob, BlockJob, EraseJob, Writer, user_events
from nearline.schema import Event, EventBlock, Record, check_id


class SQLiteLog:
    """A `Log` in a SQLite file (write-ahead, ``synchronous=FULL``).

    Appends that wait together are committed together (up to 10,000 records, or one append that
    is larger). Up to 100,000 records are queued; beyond that, `append` and `erase` wait, or raise
    `Overloaded` if called in the thread of a running event loop. Records count as duplicates if
    their `event_id` is stored or stands earlier in the same commit.

    A listener that raises leaves the state behind the log. The futures of that commit get its
    error, and those of one that was made meanwhile `Closed`, though their records are durable; from
    then on `append` and `erase` raise `Closed`, `read` works, and opening the store again replays
    what the listener missed. A listener and the callbacks of futures run in the log's threads, one
    at a time: they must not wait for this log.

    Parameters
    ----------
    path : Path or None
        File to open or create, in a folder that exists; None keeps everything in memory.

    Raises
    ------
    StoreInUse
        If the file is open, in this or another process.
    Damaged
        If the file is not a log or not whole.
    DataNotFound
        If the folder does not exist.
    InvalidInput
        If a newer version of this package wrote the file.
    """

    def __init__(self, path: Path | None) -> None:
        self._lock = StoreLock(path) if path else None
        try:
            self._tables = Tables(path)
        except BaseException:
            if self._lock:
                self._lock.release()
            raise
        self._writer = Writer(self._tables)
        self._closed = self._stopping = False
        self._closing = Lock()

    def append(self, records: Sequence[Appendable]) -> "Future[Appended]":
        """Queue `records` as one unit (all or none); the future resolves once it is durable.

        An `EventBlock` is stored as the same events one by one would be, some ten times faster;
        it is a commit of its own, and the listener gets a `StoredBlock`.

        Waits while the queue is full. The future fails with `StorageFailed` if the disk refuses;
        nothing of `records` is stored then, and the log goes on.

        Raises
        ------
        InvalidInput
            If an entry is no record or cannot be encoded; `position` tells which.
        Closed
            If the log was closed, or stopped because its listener failed.
        Overloaded
            If the queue is full and this is the thread of a running event loop.
        """
        if isinstance(records, EventBlock):
            block = BlockJob(records, encode_block(records))
            self._writer.submit(block)
            return block.future
        coded = [encode(record, position) for position, record in enumerate(records)]
        job = AppendJob(tuple(records), coded)
        self._writer.submit(job)
        return job.future

    def erase(self, user_id: str) -> "Future[int]":
        """Turn every event of `user_id` into an empty tombstone; the future gives their number.

        Once it resolves, no file of the log holds their bytes. It costs a look-up, the user's
        events and a checkpoint. An `event_id` that was erased may be stored again. The future
        fails with `StorageFailed` if the disk refuses; call it again then.

        Raises
        ------
        Closed
            If the log was closed, or stopped because its listener failed.
        Overloaded
            If the queue is full and this is the thread of a running event loop.
        """
        job = EraseJob(check_id(user_id, "user_id"))
        self._writer.submit(job)
        return job.future

    def erase_event(self, event_id: str) -> "Future[int]":
        """Turn the event with this id into an empty tombstone; the future gives 1, or 0.

        As `erase`, but for one event. It reads the log up to that event.

        Raises
        ------
        Closed
            If the log was closed, or stopped because its listener failed.
        Overloaded
            If the queue is full and this is the thread of a running event loop.
        """
        check_id(event_id, "event_id")
        self.append([]).result()  # whatever was queued before is stored now
        user_id = self._user_of(event_id) if self.known([event_id])[0] else None
        if user_id is None:
            nothing: Future[int] = Future()
            nothing.set_result(0)
            return nothing
        job = EraseJob(user_id, event_id)
        self._writer.submit(job)
        return job.future

    def _user_of(self, event_id: str) -> str | None:
        """Find the user of an event."""
        for _, record in self.read():
            if isinstance(record, Event) and record.event_id == event_id:
                return record.user_id
        return None

    def read(self, start: int = 0, stop: int | None = None) -> Iterator[tuple[int, Record]]:
        """Yield (offset, record) for offsets in [start, stop), in order; `Erased` included.

        Without `stop` it ends where the log ended when `read` was called. Memory is bounded by
        1,000 records, and appends go on meanwhile.

        Raises
        ------
        InvalidInput
            If `start` is negative.
        Damaged
            While iterating: if a record is missing or cannot be decoded; names its offset.
        Closed
            If the log was closed, also while iterating.
        """
        if start < 0:
            raise InvalidInput(f"start is {start}; offsets begin at 0", field="start")
        self._check_open()
        end = self._tables.end
        return self._records(start, end if stop is None else min(stop, end))

    def tail(self, offset: int = 0) -> Iterator[tuple[int, Record]]:
        """Yield (offset, record) from `offset` on, and go on as records are committed.

        The iterator waits for the next commit. `listen` reports erasures; `tail` does not.

        Raises
        ------
        InvalidInput
            If `offset` is negative.
        Closed
            While iterating: once the log is closed.
        """
        if offset < 0:
            raise InvalidInput(f"offset is {offset}; offsets begin at 0", field="offset")
        self._check_open()
        return self._following(offset)

    def _following(self, offset: int) -> Iterator[tuple[int, Record]]:
        committed = self._writer.committed
        while True:
            self._check_open()
            if self._stopping:
                raise Closed("the log is closed; open the store again")
            for at, record in self._records(offset, self._tables.end):
                yield at, record
                offset = at + 1
            with committed:
                committed.wait_for(lambda: self._stopping or self._tables.end > offset)  # noqa: B023

    def events_of(self, user_id: str) -> list[tuple[int, Event]]:
        """Every event of a user with its offset, in order; empty where the user is unknown.

        A look-up and the user's events, whatever the log's length. May be called by a listener.
        """
        self._check_open()
        return user_events(self._tables, user_id)

    def known(self, event_ids: Sequence[str]) -> list[bool]:
        """Whether each of `event_ids` is that of a stored event; an erased one is not."""
        self._check_open()
        keys = [event_key(event_id) for event_id in event_ids]
        stored = self._tables.known(keys) if keys else set()
        return [key in stored for key in keys]

    def listen(self, on_commit: OnCommit, on_erase: OnErase) -> None:
        """Name the one listener; call it before the first append."""
        self._writer.listen(on_commit, on_erase)

    def copy_to(self, path: Path) -> None:
        """Write a consistent copy of the log to `path`, where no file may be.

        A log in memory takes no appends meanwhile; a file does.
        """
        self._check_open()
        self._tables.copy_to(path)

    @property
    def end(self) -> int:
        """Offset that the next record will get."""
        return self._tables.end

    @property
    def erasures(self) -> int:
        """How many calls of `erase` found something: what was derived before the last is stale."""
        return self._tables.erasures

    def close(self) -> None:
        """Finish what is queued and release the files; safe to call twice."""
        with self._closing:
            if self._closed:
                return
            self._stopping = True
            self._writer.stop()
            self._closed = True
            try:
                self._tables.close()
            finally:  # also where the disk refuses
                if self._lock:
                    self._lock.release()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _check_open(self) -> None:
        if self._closed:
            raise Closed("the log is closed; open the store again")

    def _records(self, start: int, stop: int) -> Iterator[tuple[int, Record]]:
        for block in self._tables.blocks(start, stop):
            for offset, payload in block:
                yield offset, decode(offset, payload)
            self._check_open()
