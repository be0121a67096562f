"""Log in a SQLite file or in memory, with one writer thread and group commit."""

from collections.abc import Iterator, Sequence
from concurrent.futures import Future
from dataclasses import replace
from pathlib import Path

from nearline.log.base import Appendable, Appended, OnCommit, OnErase, Watcher, in_blocks
from nearline.log.block_codec import encode_block
from nearline.log.burials import payloads_of, without_erased
from nearline.log.codec import decode, encode, event_key
from nearline.log.jobs import AppendJob, BlockJob, EraseJob, Known
from nearline.log.lock import StoreLock
from nearline.log.opened import OpenedLog
from nearline.log.tables import LARGE_BLOCK, Tables
from nearline.log.user_records import user_records
from nearline.log.writer import QUEUED_BYTES, Writer
from nearline.schema import Event, EventBlock, Record, UserRecord, check_id
from nearline.schema.retention import Cutoffs
from nearline.sealing import Seal


class SQLiteLog(OpenedLog):
    """Implementation of `Log` in a SQLite file (write-ahead log, ``synchronous=FULL``).

    Queued appends are committed in groups of up to 10,000 records, or of one larger append. If
    100,000 records or `queue_bytes` are queued, `append` and `erase` wait, or raise `Overloaded`
    where waiting is not allowed (`common.waiting.may_wait`). An event is a duplicate if its
    `event_id` is stored or occurs earlier in the same commit.

    If a listener raises an error, the state lacks records of the log. The futures of that commit
    raise the error, and those of a commit made at the same time raise `Closed`, although their
    records are durable. Afterwards, `append` and `erase` raise `Closed`, but `read` works; when the
    store is opened again, the records are replayed. Listeners and callbacks of futures run in
    threads of the log, one at a time, and must not wait for this log.

    Parameters
    ----------
    path : Path or None
        File to open or create, in an existing folder; None for a log in memory.
    queue_bytes : int
        Bytes of encoded records at which the queue is full.

    Raises
    ------
    StoreInUse
        The file is open in this or another process.
    Damaged
        The file is not a log, or is damaged.
    DataNotFound
        The folder does not exist.
    InvalidInput
        A newer version of this package wrote the file.
    """

    def __init__(self, path: Path | None, queue_bytes: int = QUEUED_BYTES) -> None:
        super().__init__()
        self._lock = StoreLock(path) if path else None
        try:
            self._tables = Tables(path)
        except BaseException:
            if self._lock:
                self._lock.release()
            raise
        self._writer = Writer(self._tables, queue_bytes)

    def append(self, records: Sequence[Appendable], *, readmit: bool = False) -> "Future[Appended]":
        """Queue records to be stored atomically; the future is resolved when they are durable.

        An `EventBlock` is stored like a list of the same events, but about ten times as fast. It is
        committed separately, and the listener receives a `StoredBlock`.

        Events of users who were erased after them are left out, unless `readmit` is true.

        The method waits while the queue is full. If the disk rejects the write, the future raises
        `StorageFailed`; then none of the records is stored, and the log can still be used.

        Raises
        ------
        InvalidInput
            An entry is not a record or cannot be encoded; `position` is its index.
        Closed
            The log was closed, or stopped because its listener failed.
        Overloaded
            The queue is full and the caller must not wait (`common.waiting.may_wait`).
        """
        self._check_process()
        if isinstance(records, EventBlock):
            block = BlockJob(records, encode_block(records))
            self._writer.submit(block)
            return block.future
        coded = [encode(record, position) for position, record in enumerate(records)]
        job = AppendJob(tuple(records), coded, readmit=readmit)
        self._writer.submit(job)
        return job.future

    def erase(self, user_id: str, at: float | None = None) -> "Future[int]":
        """Replace all records that name a user by tombstones; the future returns their number.

        When the future is resolved, no file of the log contains the bytes of these. An erasure
        takes a look-up, a write per record and a checkpoint of the write-ahead log. Many are
        overwritten in pieces, between other writes; readers see none of them from the first
        commit on. If the process ends in between, the rest is overwritten when the log is opened
        again. Records that are appended after this call are stored, except events before the time
        `at` (Unix seconds) and those with the `event_id` of an erased event; without `at`, all of
        them. If the disk rejects a write, the future raises
        `StorageFailed`, and the user must be erased again.

        Raises
        ------
        Closed
            If the log was closed, or stopped because its listener failed.
        Overloaded
            If the queue is full and the caller must not wait (`common.waiting.may_wait`).
        """
        check_id(user_id, "user_id")
        self._check_process()
        return self._erase(EraseJob(user_id, at=at))

    def erase_event(self, event_id: str) -> "Future[int]":
        """Replace the event with this ID by a tombstone; the future returns 1, or 0 without it.

        Like `erase`, but for one event, which is found by an index. If a version before format 3 of
        the file stored the event, the log is read up to it.

        Raises
        ------
        Closed
            If the log was closed, or stopped because its listener failed.
        Overloaded
            If the queue is full and the caller must not wait (`common.waiting.may_wait`).
        """
        self._check_process()
        check_id(event_id, "event_id")
        self.append([]).result()  # waits until all queued records are stored
        user_id = self._user_of(event_id) if self.known([event_id])[0] else None
        if user_id is None:
            nothing: Future[int] = Future()
            nothing.set_result(0)
            return nothing
        return self._erase(EraseJob(user_id, event_id))

    def erase_expired(self, user_id: str, cutoffs: Cutoffs) -> "Future[int]":
        """Replace the oldest expired events of a user by tombstones; the future returns how many.

        Like `erase`, but for at most 500 events. The caller repeats it until the result is 0.
        """
        check_id(user_id, "user_id")
        self._check_process()
        return self._erase(EraseJob(user_id, cutoffs=cutoffs))

    def _erase(self, job: EraseJob) -> "Future[int]":
        # Read here, so that the writer, for which other writes wait, reads only newer records.
        erasures, read_to = self._tables.erasures, self._tables.end
        records = user_records(self._tables, job.user_id)
        job = replace(job, known=Known(records, read_to, erasures))
        self._writer.submit(job)
        return job.future

    def _user_of(self, event_id: str) -> str | None:
        """Return the user of an event; None if the event is not stored."""
        found = self._tables.event(event_key(event_id))
        if found is not None:
            record = decode(*found)
            # Two events may have the same key.
            if isinstance(record, Event) and record.event_id == event_id:
                return record.user_id
        for _, record in self.read():
            if isinstance(record, Event) and record.event_id == event_id:
                return record.user_id
        return None

    def payloads(
        self, start: int = 0, stop: int | None = None
    ) -> Iterator[tuple[int, list[bytes]]]:
        """Yield the first offset and the payloads of blocks of records; see `ReadsPayloads`."""
        self._check_open()
        end = self._tables.end if stop is None else min(stop, self._tables.end)
        return payloads_of(self._tables.hidden, self._tables.blocks(start, end, LARGE_BLOCK))

    def _wait_beyond(self, offset: int) -> None:
        committed = self._writer.committed
        with committed:
            committed.wait_for(lambda: self._stopping.is_set() or self._tables.end > offset)

    def records_of(self, user_id: str) -> list[tuple[int, UserRecord]]:
        """Return all records that name a user with their offsets, in order.

        A listener that is called for an erasure gets the records that are left without reading.
        """
        self._check_open()
        left = self._writer.left
        if left is not None and left.user_id == user_id:
            return left.records
        return user_records(self._tables, user_id)

    def known(self, event_ids: Sequence[str]) -> list[bool]:
        """Return for each of `event_ids` whether such an event is stored and not erased."""
        self._check_open()
        keys = [event_key(event_id) for event_id in event_ids]
        stored = self._tables.known(keys) if keys else set()
        return [key in stored for key in keys]

    def listen(self, on_commit: OnCommit, on_erase: OnErase, start: int = 0) -> None:
        """Set the only listener of the log; it must be called before the first append.

        `on_commit` is first called in this thread with the stored records from offset `start` on,
        in blocks of 10,000, and then with each commit. If it raises an error for a stored record,
        this method raises it and sets no listener.
        """
        for block in in_blocks(self.read(start)):
            on_commit(block)
        self._writer.listen(on_commit, on_erase)

    def watch(self, watcher: Watcher | None) -> None:
        """Set the object that receives each commit and erasure after the listener."""
        self._writer.watcher = watcher

    def copy_to(self, path: Path) -> None:
        """Write a consistent copy of the log to a new file, which `open_log` can open.

        During the copy, appends to a log in a file continue, and those to a log in memory wait.

        Raises
        ------
        InvalidInput
            The file exists.
        DataNotFound
            The folder of the file does not exist.
        """
        self._check_open()
        self._tables.copy_to(path)

    @property
    def seal(self) -> Seal | None:
        """Seal of the records; None if they are not sealed."""
        return self._tables.seal

    @property
    def end(self) -> int:
        """Offset of the next record."""
        return self._tables.end

    @property
    def queued_bytes(self) -> int:
        """Bytes of the encoded records that wait to be written."""
        return self._writer.queued_bytes

    @property
    def erasures(self) -> int:
        """Number of erasures of at least one event; earlier derived data is invalid."""
        return self._tables.erasures

    def _close(self) -> None:
        self._stopping.set()
        self._writer.stop()
        self._closed = True
        try:
            self._tables.close()
        finally:  # even if the disk refuses the write
            if self._lock:
                self._lock.release()

    def _records(self, start: int, stop: int) -> Iterator[tuple[int, Record]]:
        for block in self._tables.blocks(start, stop):
            for offset, payload in block:
                record, hidden = decode(offset, payload), self._tables.hidden
                yield offset, without_erased(hidden, offset, record) if hidden else record
            self._check_open()
