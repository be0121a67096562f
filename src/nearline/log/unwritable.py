"""A log that can be read but not written, such as on a read-only or full disk."""

import errno
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import Future
from pathlib import Path

from nearline.errors import Closed, DataNotFound, InvalidInput, StorageFailed
from nearline.log.base import Appendable, Appended, Log, OnCommit, OnErase, in_blocks
from nearline.log.reader import LogReader
from nearline.log.sqlite import SQLiteLog
from nearline.log.writer import QUEUED_BYTES
from nearline.schema import USER_RECORDS, Event, Record, UserRecord
from nearline.schema.retention import Cutoffs

# Of these, the file system or its permissions are the cause, not the program.
UNWRITABLE = (errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOSPC, errno.EDQUOT)


class UnwritableLog(LogReader):
    """Implementation of `Log` whose writes raise `StorageFailed`.

    No lock is taken. The log ends where it ended when it was opened.

    Parameters
    ----------
    path : Path
        File of the log.
    reason : str
        Why it cannot be written, for error messages.
    """

    def __init__(self, path: Path, reason: str) -> None:
        super().__init__(path)
        self._path, self._reason = path, reason
        self._closing = threading.Event()

    @property
    def queued_bytes(self) -> int:
        """Return 0, as no record is ever queued."""
        return 0

    def append(self, records: Sequence[Appendable], *, readmit: bool = False) -> "Future[Appended]":
        """Refuse records."""
        del records, readmit
        raise self._refusal()

    def erase(self, user_id: str, at: float | None = None) -> "Future[int]":
        """Refuse an erasure."""
        del user_id, at
        raise self._refusal()

    def erase_event(self, event_id: str) -> "Future[int]":
        """Refuse an erasure."""
        del event_id
        raise self._refusal()

    def erase_expired(self, user_id: str, cutoffs: Cutoffs) -> "Future[int]":
        """Refuse an erasure."""
        del user_id, cutoffs
        raise self._refusal()

    def known(self, event_ids: Sequence[str]) -> list[bool]:
        """Return for each of `event_ids` whether such an event is stored; reads the whole log."""
        events = (record for _, record in self.read() if isinstance(record, Event))
        stored = {event.event_id for event in events}
        return [event_id in stored for event_id in event_ids]

    def events_of(self, user_id: str) -> list[tuple[int, Event]]:
        """Return all events of a user with their offsets; reads the whole log."""
        records = self.records_of(user_id)
        return [(offset, record) for offset, record in records if isinstance(record, Event)]

    def records_of(self, user_id: str) -> list[tuple[int, UserRecord]]:
        """Return all records that name a user with their offsets; reads the whole log."""
        return [
            (offset, record)
            for offset, record in self.read()
            if isinstance(record, USER_RECORDS) and record.user_id == user_id
        ]

    def listen(self, on_commit: OnCommit, on_erase: OnErase, start: int = 0) -> None:
        """Call `on_commit` with the stored records from offset `start` on."""
        del on_erase
        for block in in_blocks(self.read(start)):
            on_commit(block)

    def tail(self, offset: int = 0) -> Iterator[tuple[int, Record]]:
        """Yield (offset, record) from `offset` on, then wait until the log is closed."""
        yield from self.read(offset)
        self._closing.wait()
        raise Closed("the log is closed; open the store again")

    def close(self) -> None:
        """Release the file; idempotent."""
        self._closing.set()
        super().close()

    def _refusal(self) -> StorageFailed:
        return StorageFailed(
            f"{self._path} is open for reading only ({self._reason}), and nothing of this call was "
            "stored: free space or change the permissions, then open the store again"
        )


def open_or_read(path: Path, queue_bytes: int = QUEUED_BYTES) -> Log:
    """Open a log; if it exists and cannot be written, open it for reading only.

    `queue_bytes` is that of `SQLiteLog`.

    Raises
    ------
    StorageFailed
        It can neither be written nor read.
    StoreInUse, Damaged, DataNotFound, InvalidInput
        As in `SQLiteLog`.
    """
    try:
        return SQLiteLog(path, queue_bytes)
    except (DataNotFound, InvalidInput):
        raise
    except OSError as error:
        if not isinstance(error, StorageFailed) and error.errno not in UNWRITABLE:
            raise
        reason = str(error.__cause__ if isinstance(error, StorageFailed) else error.strerror)
        if not path.is_file():
            raise StorageFailed(
                f"the store {path.parent} cannot be written ({reason}); free space, change its "
                "permissions or name another folder"
            ) from error
        return UnwritableLog(path, reason)
