"""The log in PostgreSQL, as a `Log` and as a read-only view."""

import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from nearline.common.signing import SECRET_BYTES
from nearline.errors import InvalidInput, LogUnavailable, NearlineError
from nearline.log.base import (
    Appendable,
    Appended,
    Lease,
    OnCommit,
    OnErase,
    in_blocks,
)
from nearline.log.codec import decode, encode, event_key, kind_of, user_key
from nearline.log.jobs import EraseJob
from nearline.log.opened import OpenedLog
from nearline.log.postgres import session
from nearline.log.postgres.blocks import coded_rows, sum_of
from nearline.log.postgres.connections import Connections
from nearline.log.postgres.fold import Fold
from nearline.log.postgres.reader import PostgresReader
from nearline.log.postgres.session import Registration, prepare
from nearline.log.postgres.target import PostgresTarget
from nearline.log.postgres.threads import FollowingThreads
from nearline.log.postgres.writer import PostgresAppend, PostgresWriter
from nearline.log.user_records import UserRecords, records_to_erase
from nearline.log.writer import QUEUED_BYTES
from nearline.schema import USER_RECORDS, Event, EventBlock, Record, UserRecord, check_id
from nearline.schema.retention import Cutoffs

if TYPE_CHECKING:
    from psycopg import Connection

T = TypeVar("T")

# Seconds between attempts to reach the database.
RETRY_SECONDS = 0.2
# Events of a block that are committed together: while they are, other servers wait.
PIECE = 10_000
_OF_USER = (
    "SELECT place, payload FROM log "
    "WHERE user_key = %s AND (erased IS NULL OR erased > %s) ORDER BY place"
)
_KNOWN = "SELECT event_key FROM log WHERE event_key = ANY(%b::bytea[])"


class PostgresLog(OpenedLog):
    """Implementation of `Log` in a PostgreSQL database that several servers use.

    Any server may append; one SQL function gives dense offsets. Each server delivers all records
    to its listener, whoever appended them, and an append is acknowledged once this server's
    listener has received it. Queued appends are committed in groups.

    While the database cannot be reached, writes are tried again for eight seconds and then raise
    `LogUnavailable`; reading the log raises it at once. A block of events is committed in pieces of
    10,000 events. The rest is as in `SQLiteLog`.

    Parameters
    ----------
    target : PostgresTarget
        Where the log is; its tables are created if there are none.
    queue_bytes : int
        Bytes of encoded records at which the queue is full.

    Raises
    ------
    LogUnavailable
        The database cannot be reached.
    InvalidInput
        The URL is not valid, or a newer version of this package made the tables.
    """

    def __init__(self, target: PostgresTarget, queue_bytes: int = QUEUED_BYTES) -> None:
        super().__init__()
        self._connections = connections = Connections(target)
        try:
            prepare(connections, os.urandom(SECRET_BYTES))
            self._session = Registration(connections)
        except BaseException:
            connections.close()
            raise
        self._fold = Fold(self._session.head, target.shown)
        self._writer = PostgresWriter(
            connections, self._session, self._fold, queue_bytes, self._records_to_erase
        )
        self._threads = FollowingThreads(connections, self._session, self._fold, self._writer)

    @property
    def secret(self) -> bytes:
        """Secret with which all servers sign cursors."""
        return self._session.head.secret

    @property
    def log_id(self) -> str:
        """ID of the log, which a copy in another database does not have."""
        return str(self._session.head.log_id)

    @property
    def behind(self) -> int:
        """Number of records that the log has and the listener has not received yet."""
        return self._fold.end - self._fold.applied

    @property
    def failure(self) -> BaseException | None:
        """Why the log cannot be followed any more, if so."""
        return self._fold.failure

    def append(self, records: Sequence[Appendable], *, readmit: bool = False) -> "Future[Appended]":
        """Queue records to be stored atomically; see `SQLiteLog.append`."""
        return self._append(None, records, readmit=readmit)

    def append_under(
        self, lease: Lease | None, records: Sequence[Appendable]
    ) -> "Future[Appended]":
        """Queue records that are refused unless the lease still has its epoch.

        Raises
        ------
        StaleLease
            In the future: another server has taken over the lease.
        """
        return self._append(lease, records, readmit=False)

    def _append(
        self, lease: Lease | None, records: Sequence[Appendable], *, readmit: bool
    ) -> "Future[Appended]":
        self._check_process()
        if isinstance(records, EventBlock):
            return self._append_block(records)
        coded = [encode(record, position) for position, record in enumerate(records)]
        if self._session.unread:
            self._check_read_by_all(records)
        joins = lease is None and not readmit
        job = PostgresAppend(tuple(records), coded, joins=joins, readmit=readmit, lease=lease)
        self._writer.submit(job)
        return job.future

    def _append_block(self, block: EventBlock) -> "Future[Appended]":
        each = coded_rows(block)
        futures = []
        for start in range(0, max(1, len(block)), PIECE):
            piece = block[start : start + PIECE]
            job = PostgresAppend(piece, each[start : start + PIECE], joins=False)
            self._writer.submit(job)
            futures.append(job.future)
        return futures[0] if len(futures) == 1 else sum_of(futures)

    def _check_read_by_all(self, records: Sequence[Appendable]) -> None:
        for position, record in enumerate(records):
            kind = kind_of(record)
            if kind in self._session.unread:
                raise InvalidInput(
                    f"records of the kind {kind!r} cannot be stored yet, because a server of an "
                    "older version follows this log; upgrade all servers, then try again"
                ).at(position)

    def erase(self, user_id: str, at: float | None = None) -> "Future[int]":
        """Replace all records that name a user by tombstones; the future returns their number.

        The records are hidden at once and overwritten when all live servers have forgotten the
        user; then the future is resolved. PostgreSQL keeps old row versions until ``VACUUM`` and
        its own write-ahead log; see the page about scaling.
        """
        check_id(user_id, "user_id")
        return self._erase(EraseJob(user_id, at=at))

    def erase_event(self, event_id: str) -> "Future[int]":
        """Replace the event with this ID by a tombstone; the future returns 1, or 0 without it."""
        check_id(event_id, "event_id")
        return self._erase(EraseJob("", event_id))

    def erase_expired(self, user_id: str, cutoffs: Cutoffs) -> "Future[int]":
        """Replace the oldest expired events of a user by tombstones; see `Log.erase_expired`."""
        check_id(user_id, "user_id")
        return self._erase(EraseJob(user_id, cutoffs=cutoffs))

    def _erase(self, job: EraseJob) -> "Future[int]":
        self._check_process()
        self._writer.submit(job)
        return job.future

    def _records_to_erase(self, db: "Connection[Any]", job: EraseJob) -> UserRecords:
        """Return the records that a job erases, with their offsets."""
        if job.event_id is not None:
            query = "SELECT place, payload FROM log WHERE event_key = %s"
            found = db.execute(query, (event_key(job.event_id),), binary=True).fetchall()
            events = [(place, decode(place, payload)) for place, payload in found]
            return [
                (at, one)
                for at, one in events
                if isinstance(one, Event) and one.event_id == job.event_id
            ]
        return records_to_erase(self._records_of(db, job.user_id), job)

    def _wait_beyond(self, offset: int) -> None:
        with self._fold.changed:
            self._fold.changed.wait_for(lambda: self._stopping.is_set() or self._fold.end > offset)

    def records_of(self, user_id: str) -> list[tuple[int, UserRecord]]:
        """Return all records that name a user with their offsets, in order."""
        self._check_open()
        return self._query(lambda db: self._records_of(db, user_id))

    def _records_of(self, db: "Connection[Any]", user_id: str) -> list[tuple[int, UserRecord]]:
        key = (user_key(user_id), self._fold.erasures)
        found: list[tuple[int, UserRecord]] = []
        for place, payload in db.execute(_OF_USER, key, binary=True):
            record = decode(place, payload)
            # Two users may have the same key.
            if isinstance(record, USER_RECORDS) and record.user_id == user_id:
                found.append((place, record))
        return found

    def known(self, event_ids: Sequence[str]) -> list[bool]:
        """Return for each of `event_ids` whether such an event is stored and not erased."""
        self._check_open()
        keys = [event_key(event_id) for event_id in event_ids]
        if not keys:
            return []
        rows = self._query(lambda db: db.execute(_KNOWN, (keys,), binary=True).fetchall())
        stored = {key for (key,) in rows}
        return [key in stored for key in keys]

    def listen(self, on_commit: OnCommit, on_erase: OnErase, start: int = 0) -> None:
        """Set the only listener of the log; it must be called before the first append.

        `on_commit` is first called in this thread with the stored records from offset `start` on,
        and then with those that any server appends.
        """
        with self._fold.paused():
            for block in in_blocks(self._records(start, self._fold.applied)):
                on_commit(block)
            self._fold.listen(on_commit, on_erase)

    def lease(self, name: str, seconds: float) -> Lease | None:
        """Take or keep a lease for some seconds; None if another server has it."""
        self._check_open()
        query = "SELECT lease(%s, %s, %s)"
        values = (name, self._session.id, seconds)
        row = self._query(lambda db: db.execute(query, values).fetchone())
        return Lease(name, row[0]) if row and row[0] is not None else None

    def now(self) -> float:
        """Return the time of the database in Unix seconds, which all servers share."""
        query = "SELECT extract(epoch FROM clock_timestamp())::float8"
        row = self._query(lambda db: db.execute(query).fetchone())
        return float(row[0]) if row else 0.0

    def release(self, lease: Lease) -> None:
        """Give up a lease before its end."""
        query = "UPDATE leases SET until = clock_timestamp() WHERE name = %s AND epoch = %s"
        self._query(lambda db: db.execute(query, lease))

    def copy_to(self, path: Path) -> None:
        """Write a consistent copy of the log to a new SQLite file, which `open_log` can open."""
        self._check_open()
        with PostgresReader(self._connections.target) as reader:
            reader.copy_to(path)

    @property
    def seal(self) -> None:
        """None, since logs in PostgreSQL are not sealed."""
        return

    @property
    def end(self) -> int:
        """Known end of the log; other servers may have appended more at this moment."""
        return self._fold.end

    @property
    def queued_bytes(self) -> int:
        """Bytes of the encoded records that wait to be written."""
        return self._writer.queued_bytes

    @property
    def erasures(self) -> int:
        """Number of erasures that the listener has received."""
        return self._fold.erasures

    def _close(self) -> None:
        """Store all queued records if the database answers, then disconnect."""
        self._writer.stop()
        self._stopping.set()
        with self._fold.changed:
            self._fold.changed.notify_all()
        self._threads.interrupt()
        with suppress(NearlineError), self._connections.reading() as db:
            self._session.leave(db)
        self._closed = True
        self._connections.close()
        self._threads.join()
        self._connections.stop_watching()

    def _query(self, do: "Callable[[Connection[Any]], T]") -> T:
        """Execute statements that read; in the listener's thread, wait for the database."""
        while True:
            try:
                return self._connections.query(do)
            except LogUnavailable:
                if not self._fold.delivers_here or self._stopping.wait(RETRY_SECONDS):
                    raise

    def _rows(self, start: int, stop: int) -> list[session.Row]:
        shown = self._connections.target.shown
        return self._query(lambda db: session.rows(db, start, stop, shown))

    def _records(self, start: int, stop: int) -> Iterator[tuple[int, Record]]:
        while start < stop:
            found = self._rows(start, stop)
            yield from session.records(found, self._fold.erasures)
            start = found[-1][0] + 1
            self._check_open()
