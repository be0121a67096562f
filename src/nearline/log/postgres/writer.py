"""Thread that commits groups of queued jobs to PostgreSQL, and resolves their futures."""

import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from threading import Event, Lock, Thread
from typing import TYPE_CHECKING, Any, TypeVar

from nearline.errors import Closed, LogUnavailable
from nearline.log.base import Appended, Lease
from nearline.log.codec import Coded
from nearline.log.jobs import AppendJob, EraseJob
from nearline.log.postgres.connections import Connections
from nearline.log.postgres.fold import Fold
from nearline.log.postgres.forgotten import forget
from nearline.log.postgres.session import Registration, head_of
from nearline.log.queue import JobQueue
from nearline.log.user_records import UserRecords
from nearline.log.writer import GROUP_RECORDS, QUEUED_RECORDS
from nearline.schema import EventBlock, Record, StoredBlock

if TYPE_CHECKING:
    from psycopg import Connection

T = TypeVar("T")
Job = AppendJob | EraseJob
# Seconds for which a write is tried again while the database cannot be reached, which covers a
# restart or a failover. Later writes fail at once until one succeeds.
PATIENCE_SECONDS = 8.0
RETRY_SECONDS = 0.1


@dataclass(frozen=True)
class PostgresAppend(AppendJob):
    """Append that is refused unless a lease, if any, still has its epoch."""

    lease: Lease | None = None


class PostgresWriter:
    """Writer of one log, which runs in a thread from construction until `stop`."""

    def __init__(
        self,
        connections: Connections,
        own: Registration,
        fold: Fold,
        queue_bytes: int,
        records_to_erase: Callable[["Connection[Any]", EraseJob], UserRecords],
    ) -> None:
        self._connections, self._session, self._fold = connections, own, fold
        self._records_to_erase = records_to_erase
        self._queue = JobQueue[Job](
            capacity=QUEUED_RECORDS, group_size=GROUP_RECORDS, capacity_bytes=queue_bytes
        )
        self._db: Connection[Any] | None = None
        self._stopping = Event()
        self._given_up = False
        # Futures of erasures that wait until all servers have forgotten, by number.
        self._burials: list[tuple[int, Future[int], int]] = []
        self._burying = Lock()
        self._notifier = ThreadPoolExecutor(1, thread_name_prefix="nearline-fold")
        self._notifying: Future[None] | None = None
        self._reader: Connection[Any] | None = None
        self._thread = Thread(target=self._run, name="nearline-log", daemon=True)
        self._thread.start()

    @property
    def queued_bytes(self) -> int:
        """Bytes of the records that wait to be written."""
        return self._queue.queued_bytes

    @property
    def buries(self) -> bool:
        """Whether an erasure waits for other servers."""
        return bool(self._burials)

    def submit(self, job: Job) -> None:
        """Queue a job; wait while the queue is full; raise `Closed` if the log has stopped."""
        self._fold.refuse()
        self._queue.put(job)

    def stop(self) -> None:
        """Execute all queued jobs and end the thread; idempotent."""
        self._queue.close()
        self._stopping.set()
        self._thread.join()

    def buried(self, number: int) -> None:
        """Resolve the futures of the erasures up to a number."""
        with self._burying:
            done = [one for one in self._burials if one[0] <= number]
            self._burials = [one for one in self._burials if one[0] > number]
        for _, future, count in done:
            future.set_result(count)

    def _run(self) -> None:
        while group := self._queue.take():
            self._execute(group)
        self._settle()
        self._notifier.shutdown()
        with self._burying:
            waiting, self._burials = self._burials, []
        for _, future, count in waiting:  # hidden everywhere; another server overwrites them
            future.set_result(count)
        for connection in (self._db, self._reader):
            if connection is not None:
                connection.close()

    def _execute(self, group: Sequence[Job]) -> None:
        if self._fold.failure is not None:
            _fail(group, self._fold.refusal())
        elif isinstance(group[0], EraseJob):
            self._settle()
            self._erase(group[0])
        else:
            self._append([job for job in group if isinstance(job, AppendJob)])

    def _append(self, group: Sequence[AppendJob]) -> None:
        """Commit a group in one statement, then deliver it."""
        coded, records, spans = _joined(group)
        if not coded:
            self._settle()
            self._barrier(group)
            return
        with self._fold.committing():
            self._commit(group, coded, records, spans)

    def _commit(
        self, group: Sequence[AppendJob], coded: list[Coded], records: list[Record], spans: "Spans"
    ) -> None:
        self._session.sequence += 1
        sequence = self._session.sequence
        lease = group[0].lease if isinstance(group[0], PostgresAppend) else None
        try:
            checked = None if group[0].readmit else records
            first, rejected, ignored = self._patiently(
                lambda db: self._session.append(db, coded, sequence, lease, checked)
            )
        except Exception as error:
            _fail(group, error)
            return
        self._session.acknowledged = sequence
        stored, answers = _answers(group, records, spans, first, (rejected, ignored))
        self._fold.notice(first + len(stored))
        self._settle()
        if self._fold.failure is not None:
            _fail(group, self._fold.error_for(first, first + len(stored)))
        elif self._queue.waits:
            self._notifying = self._notifier.submit(self._notify, group, answers, first, stored)
        else:
            self._notify(group, answers, first, stored)

    def _barrier(self, group: Sequence[AppendJob]) -> None:
        """Resolve futures without records once everything committed was delivered."""
        try:
            head = self._patiently(head_of)
            self._patiently(lambda db: self._fold.catch_up(db, head))
        except BaseException as error:
            _fail(group, error)
            return
        for job in group:
            job.future.set_result(Appended(accepted=0, duplicates=0, offset=head.end))

    def _settle(self) -> None:
        """Wait until the listener has returned."""
        if self._notifying is not None:
            self._notifying.result()
            self._notifying = None

    def _notify(
        self,
        group: Sequence[AppendJob],
        answers: Sequence[Appended],
        first: int,
        stored: Sequence[tuple[int, Record]],
    ) -> None:
        try:
            self._deliver(first, stored)
        except BaseException as error:
            _fail(group, error)
            return
        for job, answer in zip(group, answers, strict=True):
            job.future.set_result(answer)

    def _deliver(self, first: int, stored: Sequence[tuple[int, Record]]) -> None:
        """Deliver committed records; if the database is gone meanwhile, wait for it."""
        while True:
            try:
                if self._reader is None or self._reader.closed:
                    self._reader = self._connections.connect()
                with self._connections.explained(), self._connections.within(self._reader, 60.0):
                    self._fold.deliver(self._reader, first, stored)
            except LogUnavailable:
                if self._stopping.wait(RETRY_SECONDS):
                    raise
            else:
                return

    def _erase(self, job: EraseJob) -> None:
        try:
            records = self._patiently(lambda db: self._records_to_erase(db, job))
            places, at = [place for place, _ in records], job.at
            if at is not None:
                named = [record for _, record in records]
                erasure = self._session.forgotten.erasure(job.user_id, at, named)
                self._patiently(lambda db: forget(db, erasure))
            if not places:
                job.future.set_result(0)
                return
            number, marked = self._patiently(lambda db: _mark(db, places))
            head = self._patiently(head_of)
            try:
                self._patiently(lambda db: self._fold.catch_up(db, head))
            except Closed:
                self._fold.check_erased(number)
                raise
            self._fold.check_erased(number)
            if not number:  # another server was faster
                job.future.set_result(0)
                return
            with self._burying:
                self._burials.append((number, job.future, marked))
            done = self._patiently(self._bury)
        except BaseException as error:
            if not job.future.done():
                job.future.set_exception(error)
            return
        self.buried(done)

    def _bury(self, db: "Connection[Any]") -> int:
        self._session.heartbeat(db, self._fold.applied, self._fold.forgotten)
        return self._session.bury(db)

    def _patiently(self, do: "Callable[[Connection[Any]], T]") -> T:
        """Execute statements on the writer's connection; connect again if it is lost."""
        end = time.monotonic() + (0.0 if self._given_up else PATIENCE_SECONDS)
        while True:
            try:
                if self._db is None or self._db.closed:
                    self._db = self._connections.connect()
                with self._connections.explained(), self._connections.within(self._db):
                    result = do(self._db)
            except LogUnavailable:
                if self._db is not None:
                    self._db.close()
                if time.monotonic() > end or self._stopping.is_set():
                    self._given_up = True
                    raise
                self._stopping.wait(RETRY_SECONDS)
            else:
                self._given_up = False
                return result


def _mark(db: "Connection[Any]", places: list[int]) -> tuple[int, int]:
    row = db.execute("SELECT number, marked FROM mark(%s::bigint[])", (places,)).fetchone()
    return (row[0], row[1]) if row else (0, 0)


Spans = list[list[int]]


def _joined(group: Sequence[AppendJob]) -> tuple[list[Coded], list[Record], Spans]:
    """Return the records of a group without repeated event IDs, and their positions by job."""
    coded: list[Coded] = []
    records: list[Record] = []
    spans: Spans = []
    keys: set[bytes] = set()
    for job in group:
        span = []
        for record, code in zip(job.records, job.coded, strict=True):
            if code.event_key is not None:
                if code.event_key in keys:
                    continue
                keys.add(code.event_key)
            span.append(len(coded))
            coded.append(code)
            records.append(record)
        spans.append(span)
    return coded, records, spans


def _answers(
    group: Sequence[AppendJob],
    records: Sequence[Record],
    spans: Spans,
    first: int,
    left_out: tuple[set[int], set[int]],
) -> tuple[Sequence[tuple[int, Record]], list[Appended]]:
    """Return the stored records with offsets, and the answer of each job."""
    rejected, ignored = left_out
    block = group[0].records
    if isinstance(block, EventBlock) and len(block) == len(records) and not (rejected or ignored):
        answer = Appended(accepted=len(block), duplicates=0, offset=first + len(block))
        return StoredBlock(first, block), [answer]
    stored: list[tuple[int, Record]] = []
    answers = []
    for job, span in zip(group, spans, strict=True):
        before = len(stored)
        for position in span:
            if position not in rejected and position not in ignored:
                stored.append((first + len(stored), records[position]))
        accepted = len(stored) - before
        forgotten = sum(position in ignored for position in span)
        duplicates = len(job.records) - accepted - forgotten
        answers.append(Appended(accepted, duplicates, first + len(stored), forgotten))
    return stored, answers


def _fail(group: Sequence[Job], error: BaseException) -> None:
    for job in group:
        with suppress(Exception):
            job.future.set_exception(error)
