"""Messages of sources that are no events, kept with their position and the reason."""

import os
import re
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future
from contextlib import closing, contextmanager
from pathlib import Path
from threading import Lock, Thread

import apsw

from nearline.common.files import overwrite, sync_path
from nearline.errors import SourceFailed, StorageFailed
from nearline.ingest.quarantine_rows import (
    KEPT_BYTES,
    PLAIN,
    SEALED,
    MessageTable,
    PlainMessages,
    Quarantined,
    SealedMessages,
)
from nearline.schema.sources import Message
from nearline.sealing import Seal

__all__ = ["QUARANTINE", "Quarantine", "Quarantined"]

QUARANTINE = "quarantine.db"
# The sealed file while it is written, and the plain one until it is overwritten.
_PARTIAL, _REPLACED = f"{QUARANTINE}.sealing", f"{QUARANTINE}.plain"
# The connector stops when so many messages, or bytes of them, are in the quarantine.
MAX_MESSAGES = 100_000
MAX_BYTES = 1_000_000_000
# Messages that are sealed at once.
_BLOCK = 1_000
_ESCAPE = re.compile(r"\\(?:u([0-9a-fA-F]{4})|(.))", re.DOTALL)
_CHARS = {"n": "\n", "t": "\t", "r": "\r", "b": "\b", "f": "\f"}


class Quarantine:
    """Table of messages in a file of the store, or in memory.

    The file is not part of the log: its messages change no answer. It is written before the
    positions of the source, so a message is in the log, in the quarantine, or still to be read.

    Parameters
    ----------
    folder : Path or None
        Folder of the store; None for memory. The file is created with the first message.
    seal : Seal or None
        Seal of the messages. A file that is not sealed is replaced by a sealed one when it is
        opened, and overwritten, unless the seal is that of a reader.
    """

    def __init__(self, folder: Path | None, seal: Seal | None = None) -> None:
        self._path = None if folder is None else folder / QUARANTINE
        self._seal = seal if folder is not None else None
        self._rows: MessageTable = PlainMessages()
        self._lock = Lock()
        self._db: apsw.Connection | None = None

    def add(self, source: str, failed: Sequence[tuple[Message, str]], now: float) -> None:
        """Store messages with reasons, durably; those that are there already stay as they are.

        Raises
        ------
        SourceFailed
            The quarantine is full.
        StorageFailed
            The disk rejects the write.
        """
        messages = [
            Quarantined(
                0,
                source,
                one.partition,
                one.position,
                reason,
                now,
                one.timestamp,
                one.key,
                (one.value or b"")[:KEPT_BYTES],
                len(one.value or b""),
            )
            for one, reason in failed
        ]
        with self._open() as db:
            count, size = self._rows.size(db)
            if count + len(messages) > MAX_MESSAGES or size > MAX_BYTES:
                raise SourceFailed(
                    f"the quarantine has {count:,} messages ({size:,} bytes), which is its limit; "
                    "look at them (nearline quarantine list), then replay or drop them"
                )
            self._rows.add(db, messages)

    def messages(
        self, source: str | None = None, *, after: int = 0, limit: int = 100
    ) -> list[Quarantined]:
        """Return messages in the order of their IDs, from the first ID above `after` on."""
        if not self.exists:
            return []
        with self._open() as db:
            return self._rows.select(db, source, after, limit)

    def counts(self) -> list[tuple[str, str, int]]:
        """Return (source, reason, number of messages), the most frequent first."""
        if not self.exists:
            return []
        with self._open() as db:
            return self._rows.counts(db)

    def remove(self, ids: Iterable[int]) -> None:
        """Remove messages; copies of a sealed file forget them, too."""
        with self._open() as db:
            self._rows.remove(db, ids)

    def drop(self, source: str | None = None) -> int:
        """Remove all messages, or those of one source, and return their number."""
        if not self.exists:
            return 0
        with self._open() as db:
            return self._rows.drop(db, source)

    def forget(self, user_id: str) -> None:
        """Remove all messages in which the ID of a user occurs, and those that were cut off."""
        if not self.exists:
            return
        with self._open() as db:
            gone = [
                one.id
                for one in self._rows.select(db, None, 0, -1)
                if len(one.value) < one.size
                or _contains(user_id, one.reason.encode(), one.key or b"", one.value)
            ]
            self._rows.remove(db, gone)

    def seal(self) -> None:
        """Replace a plain file by a sealed one, if there is a seal, and release the file."""
        if self.exists:
            with self._open():
                pass
        self.close()

    def after_forgetting(self, user_id: str, erased: Future[int]) -> Future[int]:
        """Return a future that resolves like `erased`, once `forget` has returned too."""
        if not self.exists:
            return erased
        both: Future[int] = Future()

        def run() -> None:
            try:
                self.forget(user_id)
                both.set_result(erased.result())
            except BaseException as error:
                both.set_exception(error)

        Thread(target=run, name="nearline-quarantine", daemon=True).start()
        return both

    @property
    def exists(self) -> bool:
        """Whether a message was ever stored."""
        return self._db is not None or (self._path is not None and self._path.exists())

    def close(self) -> None:
        """Release the file; idempotent."""
        with self._lock:
            if self._db is not None:
                self._db.close()
                self._db = None

    def _connect(self) -> apsw.Connection:
        """Open the file; replace a plain file of a sealed store by a sealed one."""
        path, seal = self._path, self._seal
        db = _connect(path)
        plain = _has(db, "message")
        if seal is None or path is None or (plain and seal.read_only):
            self._rows = PlainMessages()
            db.execute(PLAIN)
            return db
        replaced = path.with_name(_REPLACED)
        if plain:
            replaced.unlink(missing_ok=True)
            with closing(db):
                _seal_file(db, path, seal)
            db = _connect(path)
        overwrite(replaced)
        self._rows = SealedMessages(seal)
        if not seal.read_only:
            db.execute(SEALED)
        return db

    @contextmanager
    def _open(self) -> Iterator[apsw.Connection]:
        """Return a context that is one transaction."""
        with self._lock:
            try:
                if self._db is None:
                    self._db = self._connect()
                with self._db:
                    yield self._db
            except apsw.Error as error:
                raise StorageFailed(
                    f"the quarantine {self._path or 'in memory'} cannot be used: {error}; free "
                    "space or repair the disk, then try again"
                ) from error


def _connect(path: Path | None) -> apsw.Connection:
    db = apsw.Connection(":memory:" if path is None else str(path))
    db.set_busy_timeout(10_000)
    db.pragma("synchronous", "full")
    db.pragma("secure_delete", "on")
    return db


def _seal_file(db: apsw.Connection, path: Path, seal: Seal) -> None:
    """Write a sealed file beside a plain one, and replace it, so that a kill loses nothing."""
    partial = path.with_name(_PARTIAL)
    for name in (partial, partial.with_name(f"{_PARTIAL}-journal")):
        name.unlink(missing_ok=True)
    plain, sealed = PlainMessages(), SealedMessages(seal)
    with closing(_connect(partial)) as new, new:
        new.execute(SEALED)
        after = 0
        while messages := plain.select(db, None, after, _BLOCK):
            after = messages[-1].id
            sealed.add(new, messages)
    os.link(path, path.with_name(_REPLACED))
    partial.replace(path)
    sync_path(path.parent)  # before the plain file is overwritten


def _has(db: apsw.Connection, table: str) -> bool:
    query = "SELECT count(*) FROM sqlite_schema WHERE type = 'table' AND name = ?"
    return bool(db.execute(query, (table,)).get)


def _contains(user_id: str, *parts: bytes) -> bool:
    """Return whether a text occurs, as it is or with the escapes of JSON."""
    for part in parts:
        text = part.decode(errors="replace")
        if user_id in text or ("\\" in text and user_id in _unescaped(text)):
            return True
    return False


def _unescaped(text: str) -> str:
    plain = _ESCAPE.sub(
        lambda found: chr(int(found[1], 16)) if found[1] else _CHARS.get(found[2], found[2]), text
    )
    return plain.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
