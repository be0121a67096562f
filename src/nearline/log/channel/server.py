"""The writer's end of a channel."""

import logging
import socket
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from queue import Empty, SimpleQueue
from threading import Lock, Thread

from nearline.log.channel.messages import (
    Follow,
    Gone,
    LogReach,
    Note,
    Payloads,
    RecordsOf,
    UserRecordsFound,
    receive,
    send,
)
from nearline.log.codec import encode
from nearline.log.sqlite import SQLiteLog
from nearline.schema import UserRecord

logger = logging.getLogger(__name__)

# Seconds between two looks at the active model, which is not part of the log.
LOOK_SECONDS = 0.25
# Messages that wait for a follower that does not read; beyond it, the follower is dropped.
MOST_WAITING = 100_000

OnNote = Callable[[int, str, bytes], None]
_Messages = SimpleQueue[LogReach | Gone | None]


class LogChannel:
    """Tells followers of a log about its commits and erasures.

    Parameters
    ----------
    log : SQLiteLog
        The log, which this process has open. It has one channel at a time.
    path : Path
        Socket to create; its folder must not be accessible to other users.
    model : callable
        Returns the ID of the active model.
    on_note : callable
        Called with the process ID of a follower and its notes, in a thread of each follower.
    """

    def __init__(
        self, log: SQLiteLog, path: Path, model: Callable[[], str], on_note: OnNote
    ) -> None:
        self._log, self._model, self._on_note = log, model, on_note
        self._lock = Lock()
        self._end, self._erasures = log.end, log.erasures
        self._followers: list[_Messages] = []
        self._listening = socket.socket(socket.AF_UNIX)
        self._listening.bind(str(path))
        self._listening.listen()
        log.watch(self)
        Thread(target=self._accept, name="nearline-channel", daemon=True).start()

    def committed(self, end: int) -> None:
        """Tell all followers that the listener has received the records before `end`."""
        with self._lock:
            self._end = max(self._end, end)
            self._tell(LogReach(self._end, self._erasures, self._model()))

    def erased(
        self,
        user_id: str,
        erased: Sequence[tuple[int, UserRecord]],
        kept: Sequence[tuple[int, UserRecord]],
    ) -> None:
        """Tell all followers about an erasure, which the listener has received."""
        with self._lock:
            self._erasures += 1
            if self._followers:
                about = (payloads(erased), payloads(kept))
                self._tell(Gone(self._erasures, user_id, *about))

    def close(self) -> None:
        """End the connections of all followers; idempotent."""
        self._log.watch(None)
        with suppress(OSError):
            self._listening.shutdown(socket.SHUT_RDWR)
        self._listening.close()
        with self._lock:
            for follower in self._followers:
                follower.put(None)

    def _tell(self, message: LogReach | Gone) -> None:
        for follower in list(self._followers):
            if follower.qsize() > MOST_WAITING:
                self._followers.remove(follower)
                follower.put(None)
            else:
                follower.put(message)

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._listening.accept()
            except OSError:  # closed
                return
            Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        with connection, connection.makefile("rb") as stream, suppress(OSError):
            request = receive(stream)
            if isinstance(request, RecordsOf):
                erasures = self._log.erasures
                send(
                    connection,
                    UserRecordsFound(erasures, payloads(self._log.records_of(request.user_id))),
                )
            elif isinstance(request, Follow):
                messages: _Messages = SimpleQueue()
                with self._lock:
                    messages.put(LogReach(self._end, self._erasures, self._model()))
                    self._followers.append(messages)
                sending = Thread(target=self._send, args=(connection, messages), daemon=True)
                sending.start()
                try:
                    while isinstance(note := receive(stream), Note):
                        self._on_note(request.process, note.topic, note.body)
                finally:
                    with self._lock, suppress(ValueError):
                        self._followers.remove(messages)
                    messages.put(None)
                    sending.join()

    def _send(self, connection: socket.socket, messages: _Messages) -> None:
        """Send messages until there is a None; of several heads in a row, only the last."""
        model = ""
        with suppress(OSError):
            while True:
                try:
                    waiting = [messages.get(timeout=LOOK_SECONDS)]
                except Empty:
                    if self._model() == model:
                        continue
                    with self._lock:
                        waiting = [LogReach(self._end, self._erasures, self._model())]
                while not messages.empty():
                    waiting.append(messages.get())
                some = [message for message in waiting if message is not None]
                kept = without_superseded_heads(some)
                send(connection, *kept)
                model = next((m.model for m in reversed(kept) if isinstance(m, LogReach)), model)
                if len(some) < len(waiting):  # the last message is None
                    break
        with suppress(OSError):
            connection.shutdown(socket.SHUT_RDWR)


def without_superseded_heads(messages: Sequence[LogReach | Gone]) -> list[LogReach | Gone]:
    """Leave out each head that another one follows immediately."""
    kept: list[LogReach | Gone] = []
    for message in messages:
        if kept and isinstance(message, LogReach) and isinstance(kept[-1], LogReach):
            kept.pop()
        kept.append(message)
    return kept


def payloads(records: Sequence[tuple[int, UserRecord]]) -> Payloads:
    """Encode records with their offsets."""
    return [(offset, encode(record).payload) for offset, record in records]
