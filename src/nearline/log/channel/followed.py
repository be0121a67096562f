"""A follower's view of a log that another process writes."""

import os
import socket
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from pathlib import Path
from threading import Lock, Thread
from typing import TypeVar, cast

from nearline.errors import LogUnavailable, NearlineError
from nearline.log.base import Appendable, Appended, Lease, OnCommit, OnErase, in_blocks
from nearline.log.channel.messages import (
    Follow,
    Gone,
    LogReach,
    Message,
    Note,
    Payloads,
    RecordsOf,
    UserRecordsFound,
    receive,
    send,
)
from nearline.log.codec import decode
from nearline.log.unwritable import UnwritableLog
from nearline.schema import Erased, Event, Record, UserRecord

T = TypeVar("T")
_channel: ContextVar[Path | None] = ContextVar("log_channel", default=None)
# Seconds for which the writer may take to answer a request for the records of a user.
ANSWER_SECONDS = 60.0


@contextmanager
def following(channel: Path) -> Iterator[None]:
    """Return a context in which stores are opened as followers of the process with a channel."""
    token = _channel.set(channel)
    try:
        yield
    finally:
        _channel.reset(token)


def followed_through() -> Path | None:
    """Return the channel of this context; None if stores are opened as usual."""
    return _channel.get()


class FollowedLog(UnwritableLog):
    """Implementation of `SharedLog` for a file that another process of this machine writes.

    The listener receives every commit and erasure of the writer, in order. Writes are refused: the
    server passes them on to the writer.

    If a reader may have seen an erasure before the listener received it, counts could become
    wrong. The log then *fails*: it is not followed any more, and the process should open it again.

    Parameters
    ----------
    path : Path
        File of the log.
    channel : Path
        Socket of the `LogChannel` of the writer.

    Raises
    ------
    LogUnavailable
        The writer cannot be reached, or erases a user at this moment: try again.
    """

    def __init__(self, path: Path, channel: Path) -> None:
        self._channel = channel
        self.failure: BaseException | None = None
        self.on_failure: Callable[[], None] = lambda: None
        self.on_erased: Callable[[str], None] = lambda _: None
        self.on_model: Callable[[], None] = lambda: None
        self._socket = self._connected()
        self._stream = self._socket.makefile("rb")
        self._sending = Lock()
        self._left: tuple[str, list[tuple[int, UserRecord]]] | None = None
        # Offsets of records that were erased before they were read.
        self._unseen: set[int] = set()
        try:
            send(self._socket, Follow(os.getpid()))
            head = self._head(receive(self._stream))
            super().__init__(path, "process of a server with several workers")
        except BaseException:
            self._disconnect()
            raise
        self._end = self._known_end = head.end
        self._erasures, self.model = head.erasures, head.model
        self._thread: Thread | None = None

    @property
    def log_id(self) -> str:
        """Path of the file."""
        return str(self._path)

    @property
    def secret(self) -> bytes:
        """Empty, since the secret of the store's folder is used."""
        return b""

    @property
    def behind(self) -> int:
        """Number of records that the listener has not received yet."""
        return self._known_end - self._end

    def listen(self, on_commit: OnCommit, on_erase: OnErase, start: int = 0) -> None:
        """Deliver the stored records from offset `start` on, then each commit and erasure."""
        for block in in_blocks(self.read(start)):
            on_commit(block)
        self._on_commit, self._on_erase = on_commit, on_erase
        self._thread = Thread(target=self._follow, name="nearline-follow", daemon=True)
        self._thread.start()

    def read(self, start: int = 0, stop: int | None = None) -> Iterator[tuple[int, Record]]:
        """Yield (offset, record) of the records that the listener has received."""
        return self._checked(super().read(start, stop))

    def payloads(
        self, start: int = 0, stop: int | None = None
    ) -> Iterator[tuple[int, list[bytes]]]:
        """Yield the first offset and the payloads of blocks of records; see `ReadsPayloads`."""
        return self._checked(super().payloads(start, stop))

    def records_of(self, user_id: str) -> list[tuple[int, UserRecord]]:
        """Ask the writer for all records that name a user."""
        left = self._left
        if left is not None and left[0] == user_id:
            return left[1]
        with self._connected() as connection, connection.makefile("rb") as stream:
            connection.settimeout(ANSWER_SECONDS)
            send(connection, RecordsOf(user_id))
            found = receive(stream)
        if not isinstance(found, UserRecordsFound):
            raise self._unreachable(self._channel)
        if found.erasures != self._erasures:
            self.fail(self._overtaken())
        return [pair for pair in records(found.records) if pair[0] < self._known_end]

    def events_of(self, user_id: str) -> list[tuple[int, Event]]:
        """Ask the writer for all events of a user."""
        found = self.records_of(user_id)
        return [(offset, record) for offset, record in found if isinstance(record, Event)]

    def tell(self, topic: str, body: bytes) -> None:
        """Send a note to the writer; it is dropped if the writer cannot be reached."""
        with suppress(OSError), self._sending:
            send(self._socket, Note(topic, body))

    def fail(self, error: BaseException) -> None:
        """Follow the log no longer."""
        if self.failure is None and not self._closing.is_set():
            self.failure = error
            self.on_failure()

    def lease(self, name: str, seconds: float) -> Lease | None:
        """Return None: the writer has all leases."""
        del name, seconds
        return None

    def now(self) -> float:
        """Refuse, since only writes need the time of the log."""
        raise self._refusal()

    def release(self, lease: Lease) -> None:
        """Do nothing."""

    def append_under(
        self, lease: Lease | None, records: Sequence[Appendable]
    ) -> "Future[Appended]":
        """Refuse records."""
        del lease, records
        raise self._refusal()

    def close(self) -> None:
        """Stop following and release the file; idempotent."""
        if self._closing.is_set():
            return
        self._closing.set()
        with suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        if self._thread is not None:
            self._thread.join()
        self._disconnect()
        super().close()

    def _follow(self) -> None:
        try:
            while not self._closing.is_set():
                message = receive(self._stream)
                if isinstance(message, Gone):
                    self._forget(message)
                else:
                    self._deliver(self._head(message))
        except BaseException as error:
            self.fail(error)

    def _head(self, message: Message | None) -> LogReach:
        if not isinstance(message, LogReach):
            raise self._unreachable(self._channel)
        return message

    def _deliver(self, head: LogReach) -> None:
        """Read the new records and pass them to the listener, which then can read them."""
        self._known_end = max(self._end, head.end)
        for block in in_blocks(self._records(self._end, head.end)):
            gone = (offset for offset, record in block if isinstance(record, Erased))
            self._unseen.update(gone)
            self._end = block[-1][0] + 1
            self._on_commit(block)
        if head.model != self.model:
            self.model = head.model
            self.on_model()

    def _forget(self, gone: Gone) -> None:
        erased = [pair for pair in records(gone.erased) if pair[0] not in self._unseen]
        self._unseen.difference_update(offset for offset, _ in gone.erased)
        self._left = gone.user_id, records(gone.kept)
        self._erasures = gone.number
        try:
            self._on_erase(gone.user_id, erased)
        finally:
            self._left = None
        self.on_erased(gone.user_id)

    def _checked(self, found: Iterator[T]) -> Iterator[T]:
        """Yield what was read; fail if it may contain an erasure that was not delivered yet."""
        yield from found
        if self._tables.stored_erasures() != self._erasures:
            self.fail(self._overtaken())
            if self._thread is None:
                raise self._overtaken()

    def _connected(self) -> socket.socket:
        connection = socket.socket(socket.AF_UNIX)
        try:
            connection.connect(str(self._channel))
        except OSError as error:
            connection.close()
            raise self._unreachable(self._channel) from error
        return connection

    def _disconnect(self) -> None:
        with suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        self._stream.close()
        self._socket.close()

    @staticmethod
    def _unreachable(channel: Path) -> LogUnavailable:
        return LogUnavailable(
            f"the process that writes the log cannot be reached at {channel}; it has ended, or it "
            "ends: try again in a second"
        )

    @staticmethod
    def _overtaken() -> NearlineError:
        return LogUnavailable("a user was erased while the log was read; open the store again")


def records(found: Payloads) -> list[tuple[int, UserRecord]]:
    """Decode records."""
    return [(offset, cast("UserRecord", decode(offset, payload))) for offset, payload in found]
