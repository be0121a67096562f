"""Writer thread of the log, which commits groups of queued jobs and resolves their futures."""

from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from threading import Condition, Thread

import numpy as np
from numpy.typing import NDArray

from nearline.errors import Closed
from nearline.log import tables as tables_module
from nearline.log.base import Appendable, Appended, OnCommit, OnErase, Watcher
from nearline.log.block_codec import CodedBlock
from nearline.log.burials import (
    PIECE,
    Burials,
    Graveyard,
    Marker,
    buried,
)
from nearline.log.codec import KEY_BYTES, Coded
from nearline.log.jobs import AppendJob, BlockJob, EraseJob, Left, WriteJob
from nearline.log.queue import JobQueue
from nearline.log.sealed_rows import destroying, sealed_block, sealed_rows
from nearline.log.tables import Tables
from nearline.log.user_records import marked_records, split, user_records
from nearline.schema import EventBlock, Record, StoredBlock, UserRecord

GROUP_RECORDS = 10_000
QUEUED_RECORDS = 100_000
QUEUED_BYTES = 256_000_000


class Writer:
    """Writer of the tables of a log, which runs in a thread from construction until `stop`."""

    def __init__(self, tables: Tables, queue_bytes: int = QUEUED_BYTES) -> None:
        self._tables = tables
        self._queue = JobQueue[WriteJob](
            capacity=QUEUED_RECORDS, group_size=GROUP_RECORDS, capacity_bytes=queue_bytes
        )
        self._on_commit: OnCommit | None = None
        self._on_erase: OnErase | None = None
        self._failure: BaseException | None = None
        self.left: Left | None = None
        self.watcher: Watcher | None = None
        graveyard = Graveyard(tables.bury, tables.scrub, tables.unmark)
        self._burials = Burials(graveyard, lambda: tables_module.BUSY_MS / 1_000)
        for marker, end in tables.markers():  # of erasures that a crash interrupted
            self._burials.of(marker).add(marked_records(tables, marker, end), end)
        # Notified after each commit and when the writer stops.
        self.committed = Condition()
        # Calls the listener with one group while the next one is being committed.
        self._notifier = ThreadPoolExecutor(1, thread_name_prefix="nearline-fold")
        self._notifying: Future[None] | None = None
        self._thread = Thread(target=self._run, name="nearline-log", daemon=True)
        self._thread.start()

    @property
    def queued_bytes(self) -> int:
        """Bytes of the records that wait to be written."""
        return self._queue.queued_bytes

    def listen(self, on_commit: OnCommit, on_erase: OnErase) -> None:
        """Set the only listener."""
        self._on_commit = on_commit
        self._on_erase = on_erase

    def submit(self, job: WriteJob) -> None:
        """Queue a job; wait while the queue is full; raise `Closed` if the writer has stopped."""
        if self._failure is not None:
            raise self._refusal() from self._failure
        self._queue.put(job)

    def stop(self) -> None:
        """Execute all queued jobs and end the thread; idempotent."""
        self._queue.close()
        self._thread.join()
        with self.committed:
            self.committed.notify_all()

    def _run(self) -> None:
        while True:
            # Between two groups, one step of a burial: neither waits for all of the other.
            group = self._queue.take(self._burials.seconds_left())
            if group:
                self._execute(group)
            elif self._queue.is_closed and not self._burials.awaited:
                break
            self._burials.step()
        self._settle()
        self._notifier.shutdown()

    def _execute(self, group: "list[WriteJob]") -> None:
        if self._failure is not None:
            _fail(group, self._refusal())
        elif isinstance(group[0], EraseJob):
            self._settle()
            self._erase(group[0])
        elif isinstance(group[0], BlockJob):
            self._append_block(group[0])
        else:
            self._append([job for job in group if isinstance(job, AppendJob)])

    def _append(self, group: list[AppendJob]) -> None:
        try:
            stored, answers = self._commit(group)
        except Exception as error:
            if len(group) == 1:
                group[0].future.set_exception(error)
                return
            for job in group:  # one by one, so that only jobs that cannot be stored fail
                self._append([job])
            return
        self._acknowledge(group, answers, stored)

    def _append_block(self, job: BlockJob) -> None:
        try:
            stored, answer = self._commit_block(job)
        except Exception as error:
            job.future.set_exception(error)
            return
        self._acknowledge([job], [answer], stored)

    def _acknowledge(
        self,
        group: Sequence[AppendJob | BlockJob],
        answers: Sequence[Appended],
        stored: Sequence[tuple[int, Record]],
    ) -> None:
        """Call the listener with the stored records, then resolve the futures.

        If more work is queued, this happens in another thread, so that the next commit can begin.
        """
        with self.committed:
            self.committed.notify_all()
        self._settle()
        if self._failure is not None:
            _fail(group, self._refusal())
        elif self._queue.waits:
            self._notifying = self._notifier.submit(self._notify, group, answers, stored)
        else:
            self._notify(group, answers, stored)

    def _settle(self) -> None:
        """Wait until the listener has returned."""
        if self._notifying is not None:
            self._notifying.result()
            self._notifying = None

    def _notify(
        self,
        group: Sequence[AppendJob | BlockJob],
        answers: Sequence[Appended],
        stored: Sequence[tuple[int, Record]],
    ) -> None:
        try:
            if len(stored) and self._on_commit:
                self._on_commit(stored)
                if self.watcher is not None:
                    self.watcher.committed(stored[-1][0] + 1)
        except BaseException as error:
            self._failure = error
            _fail(group, error)
            return
        for job, answer in zip(group, answers, strict=True):
            job.future.set_result(answer)

    def _commit(
        self, group: Sequence[AppendJob]
    ) -> tuple[list[tuple[int, Appendable]], list[Appended]]:
        """Store the new records of a group; return them with offsets, and a result per job."""
        keys = [code.event_key for job in group for code in job.coded if code.event_key is not None]
        known = self._tables.known(keys) if keys else set()
        end = self._tables.end
        rows: list[Coded] = []
        stored: list[tuple[int, Appendable]] = []
        answers: list[Appended] = []
        forgotten = self._tables.forgotten or None
        for job in group:
            before, ignored = len(rows), 0
            for record, code in zip(job.records, job.coded, strict=True):
                if code.event_key is not None and code.event_key in known:
                    continue
                if forgotten is not None and not job.readmit and forgotten.covers(record):
                    ignored += 1
                    continue
                if code.event_key is not None:
                    known.add(code.event_key)
                stored.append((end + len(rows), record))
                rows.append(code)
            accepted = len(rows) - before
            answers.append(
                Appended(
                    accepted=accepted,
                    duplicates=len(job.records) - accepted - ignored,
                    offset=end + len(rows),
                    forgotten=ignored,
                )
            )
        if rows:
            self._tables.insert(sealed_rows(self._tables.seal, rows, stored))
        return stored, answers

    def _commit_block(self, job: BlockJob) -> tuple[StoredBlock, Appended]:
        """Store the new events of a block; return them with offsets, and the result of the job."""
        block, coded, start = job.block, job.coded, self._tables.end
        fresh = self._fresh(coded)
        kept = self._kept(block, coded, fresh)
        forgotten, fresh = len(fresh) - len(kept), kept
        if len(fresh) < len(block):
            block, coded = block.take(fresh), coded.take(fresh)
        if len(block):
            self._tables.insert_block(sealed_block(self._tables.seal, coded, block))
        answer = Appended(
            accepted=len(block),
            duplicates=len(job.block) - len(block) - forgotten,
            offset=self._tables.end,
            forgotten=forgotten,
        )
        return StoredBlock(start, block), answer

    def _kept(
        self, block: EventBlock, coded: CodedBlock, rows: NDArray[np.int64]
    ) -> NDArray[np.int64]:
        """Return those of the positions `rows` whose user was not erased after the event."""
        if not self._tables.forgotten:
            return rows
        return rows[~self._tables.forgotten.covered(block, coded)[rows]]

    def _fresh(self, coded: CodedBlock) -> NDArray[np.int64]:
        """Return the positions of events that are not duplicates, ascending: int64 [n]."""
        fresh = np.ones(len(coded.keyed), dtype=np.bool_)
        fresh[self._tables.known_in(coded)] = False
        keyed = np.flatnonzero(coded.keyed)
        keys = np.ascontiguousarray(coded.event_keys[keyed]).view(f"V{KEY_BYTES}").ravel()
        first_halves = coded.event_keys[keyed].view(np.uint64)[:, 0]
        if len(np.unique(first_halves)) < len(keyed):  # rare; comparing whole keys is slow
            _, first = np.unique(keys, return_index=True)
            again = np.ones(len(keyed), dtype=np.bool_)
            again[first] = False
            fresh[keyed[again]] = False
        return np.flatnonzero(fresh)

    def _erase(self, job: EraseJob) -> None:
        """Begin an erasure: hide or overwrite the records, and call the listener.

        The future is resolved when the burial is complete.
        """
        try:
            future = destroying(self._tables, job)
            known = self._records_of(job)
            events, kept = split(known, job)
            if job.at is not None:
                self._tables.forget(job.user_id, job.at, events)
            marker, end = Marker.of(job.user_id), self._tables.end
            marked = len(events) > PIECE
            if marked:
                self._tables.mark(marker, end)
            elif events:
                self._tables.bury(buried(events), erasures=1)
        except Exception as error:
            job.future.set_exception(error)
            return
        burial = self._burials.of(marker)
        if marked:
            burial.add(events, end)
        try:
            if events and self._on_erase:
                self.left = Left(job.user_id, kept)
                self._on_erase(job.user_id, events)
                if self.watcher is not None:
                    self.watcher.erased(job.user_id, events, kept)
        except BaseException as error:
            self._failure = error
            job.future.set_exception(error)
            return
        finally:
            self.left = None
        burial.wait_for(future, len(events))

    def _records_of(self, job: EraseJob) -> list[tuple[int, UserRecord]]:
        """Return all records of the user of a job, in order."""
        known = job.known
        if known is not None and known.erasures == self._tables.erasures:
            return known.events + user_records(self._tables, job.user_id, known.end)
        return user_records(self._tables, job.user_id)

    def _refusal(self) -> Closed:
        return Closed(
            f"the log stopped because its listener failed ({self._failure!r}); committed records "
            "are durable: close the store and open it again, which replays them"
        )


def _fail(group: Sequence[WriteJob], error: BaseException) -> None:
    for job in group:
        job.future.set_exception(error)
