"""The audit log: who did what to whose data, in an append-only file whose lines are chained.

Each line is a JSON object that ends with ``"hash"``, the SHA-256 of the hash before it and of the
bytes of the line before its own hash. So a line cannot be changed, added or removed without a
change of all later hashes. Every `CHECKPOINT_LINES` lines, and when the log is closed, a line and
the file ``audit.head`` hold a signature of the chain (HMAC-SHA256 with ``audit.key``). A copy of
``audit.head`` on another machine proves that nobody cut off or rewrote what was before it, not even
someone with the key.
"""

import fcntl
import hashlib
import hmac
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from threading import Event, Lock, Thread
from typing import Any

import msgspec
from msgspec import Struct

from nearline.common.secret_file import read_secret, secret_in
from nearline.errors import StorageFailed

LOG, HEAD, SECRET = "audit.log", "audit.head", "audit.key"
CHECKPOINT_LINES = 100
# Seconds between flushes to the disk: a power failure loses at most the lines of this time. A
# process that is killed loses none, since each line is written before its answer is sent.
SYNC_SECONDS = 0.2
START = "0" * 64
# Length of the end of a line: ,"hash":"..."} and its line feed.
_TAIL = len(',"hash":""}\n') + len(START)


class AuditLine(Struct, frozen=True, omit_defaults=True):
    """What a line says, beside its number, time and hash.

    Attributes
    ----------
    phase : str
        ``begin`` before a request is carried out, ``end`` with its status; ``refused`` for a
        request that its key does not allow; ``open``, ``close``, ``checkpoint``, ``recovered``, or
        the name of a command.
    request : str
        ID of the request.
    key : str
        ID of the key; empty if the server needs none.
    method, route, scope : str
        Method, template of the path, and scope of a request.
    namespace : str
    user : str
        Pseudonym of the user whose data the request is about; see `AuditLog.pseudonym`.
    status : int
        Status of the answer; 0 if there is none yet.
    lines : int
        Number of lines that a signature covers, or that were left out or recovered.
    signature : str
    """

    phase: str
    request: str = ""
    key: str = ""
    method: str = ""
    route: str = ""
    scope: str = ""
    namespace: str = ""
    user: str = ""
    status: int = 0
    lines: int = 0
    signature: str = ""


class _Numbered(Struct, frozen=True):
    n: int
    at: str


class _Head(Struct, frozen=True, forbid_unknown_fields=True):
    lines: int
    hash: str
    size: int
    signature: str


class AuditReport(Struct, frozen=True, kw_only=True):
    """Result of a verification: the number of intact lines, and the first problem, if any."""

    lines: int
    checkpoints: int
    problem: str | None


class AuditLog:
    """An audit log in a folder; several processes may append to it.

    Parameters
    ----------
    folder : Path
    clock : callable
        Returns the time in Unix seconds.

    Raises
    ------
    StorageFailed
        The file cannot be written.
    """

    def __init__(self, folder: Path, clock: Callable[[], float]) -> None:
        self._folder, self._clock = folder, clock
        self._lock = Lock()
        self._size, self._lines, self._hash = 0, 0, START
        self._dirty, self._stopping = Event(), Event()
        self._thread: Thread | None = None
        try:
            self._secret = secret_in(folder / SECRET)
            flags = os.O_RDWR | os.O_CREAT | os.O_APPEND
            self._file = os.open(folder / LOG, flags, 0o600)
        except (OSError, ValueError) as error:
            raise StorageFailed(f"the audit log in {folder} cannot be used: {error}") from error
        with self._exclusive():
            self._catch_up()
            if not self._lines:  # so that no kill before the first checkpoint leaves no head
                self._write_head()

    @property
    def lines(self) -> int:
        """Number of lines that this process knows of."""
        return self._lines

    def pseudonym(self, user_id: str) -> str:
        """Return what stands for a user: a keyed hash, which says nothing without `audit.key`."""
        return hmac.digest(self._secret, b"user " + user_id.encode(), "sha256").hex()[:32]

    def append(self, line: AuditLine) -> None:
        """Write one line.

        Raises
        ------
        StorageFailed
            The disk refuses it.
        """
        with self._exclusive():
            self._catch_up()
            self._write(line)
            if self._lines % CHECKPOINT_LINES == 0:
                self._checkpoint()
        self._dirty.set()

    def start(self) -> None:
        """Start the thread that flushes lines to the disk."""
        self._thread = Thread(target=self._run, name="nearline-audit", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Sign the chain, flush everything, and release the file. Idempotent."""
        thread, self._thread = self._thread, None
        if thread is not None:
            self._stopping.set()
            self._dirty.set()
            thread.join()
        if self._file >= 0:
            with self._exclusive():
                self._catch_up()
                if self._lines:
                    self._checkpoint()
            os.fsync(self._file)
            os.close(self._file)
            self._file = -1

    def _run(self) -> None:
        while not self._stopping.is_set():
            self._dirty.wait()
            self._dirty.clear()
            os.fsync(self._file)
            self._stopping.wait(SYNC_SECONDS)

    @contextmanager
    def _exclusive(self) -> Iterator[None]:
        """Return a context in which no other thread or process appends."""
        with self._lock:
            try:
                fcntl.flock(self._file, fcntl.LOCK_EX)
                try:
                    yield
                finally:
                    fcntl.flock(self._file, fcntl.LOCK_UN)
            except OSError as error:
                raise StorageFailed(f"the audit log cannot be written: {error}") from error

    def _catch_up(self) -> None:
        """Read the lines that other processes wrote; their hashes are not verified here.

        Whoever appends has the lock. So a line without an end is of a process that was killed, or
        of a power failure: it was not acknowledged, and is removed.
        """
        size = os.fstat(self._file).st_size
        if size < self._size:  # cut off from outside: the next verification says so
            self._size = size
            return
        while self._size < size:
            part = os.pread(self._file, min(size - self._size, 1 << 20), self._size)
            end = part.rfind(b"\n") + 1
            if not end:
                os.ftruncate(self._file, self._size)
                self._write(AuditLine("recovered", lines=1))
                return
            last = part[:end].rstrip(b"\n").rpartition(b"\n")[2] + b"\n"
            self._lines += part.count(b"\n")
            self._hash = last[-_TAIL:][len(',"hash":"') : -3].decode("ascii", "replace")
            self._size += end

    def _write(self, line: AuditLine) -> None:
        at = datetime.fromtimestamp(self._clock(), UTC).isoformat(timespec="milliseconds")
        head = msgspec.json.encode(_Numbered(self._lines, at))[:-1]
        body = head + b"," + msgspec.json.encode(line)[1:-1]
        found = _hash(self._hash, body)
        whole = body + b',"hash":"' + found.encode() + b'"}\n'
        written = os.write(self._file, whole)
        if written != len(whole):
            os.ftruncate(self._file, self._size)
            raise StorageFailed("the audit log cannot be written: the disk is full")
        self._hash = found
        self._lines += 1
        self._size += len(whole)

    def _checkpoint(self) -> None:
        signature = _signature(self._secret, self._lines, self._hash)
        self._write(AuditLine("checkpoint", lines=self._lines, signature=signature))
        self._write_head()

    def _write_head(self) -> None:
        signed = _signature(self._secret, self._lines, self._hash)
        head = _Head(self._lines, self._hash, self._size, signed)
        os.fsync(self._file)  # after a power failure, the head must not be ahead of the log
        partial = self._folder / f".{HEAD}.tmp"
        with partial.open("wb") as file:
            file.write(msgspec.json.encode(head) + b"\n")
            file.flush()
            os.fsync(file.fileno())
        partial.replace(self._folder / HEAD)


def verify(folder: Path) -> AuditReport:
    """Verify the chain, the signatures and the head of an audit log.

    Returns
    -------
    AuditReport
        Its `problem` names the first line that was changed, added or removed.
    """
    try:
        secret = read_secret(folder / SECRET)
        content = (folder / LOG).read_bytes()
        head = _read_head(folder)
    except FileNotFoundError as error:
        return _bad(0, 0, f"{Path(error.filename).name} is missing")
    except (OSError, ValueError) as error:
        return _bad(0, 0, f"a file cannot be read ({error})")
    before, checkpoints, size = START, 0, 0
    hashes: dict[int, str] = {0: START}
    lines = content.split(b"\n")
    for n, line in enumerate(lines[:-1]):
        size += len(line) + 1
        problem, before = _check_line(n, line, before)
        if problem:
            return _bad(n, checkpoints, f"line {n + 1}: {problem}")
        hashes = {n: hashes[n], n + 1: before}
        document = msgspec.json.decode(line)
        if document.get("phase") == "checkpoint":
            checkpoints += 1
            wanted = _signature(secret, n, hashes[n])
            if not hmac.compare_digest(str(document.get("signature")), wanted):
                return _bad(n, checkpoints, f"line {n + 1}: the signature is wrong")
        if head is not None and head.lines == n + 1 and (head.hash, head.size) != (before, size):
            return _bad(n, checkpoints, f"{HEAD} does not belong to line {n + 1}")
    total = len(lines) - 1
    if lines[-1]:
        return _bad(total, checkpoints, f"line {total + 1}: it is not complete")
    if head is None:
        if total >= 2 * CHECKPOINT_LINES:  # a process may be killed just before it writes the first
            return _bad(total, checkpoints, f"{HEAD} is missing")
    elif not hmac.compare_digest(head.signature, _signature(secret, head.lines, head.hash)):
        return _bad(total, checkpoints, f"the signature in {HEAD} is wrong")
    elif head.lines > total:
        return _bad(total, checkpoints, f"{head.lines - total} lines at the end are missing")
    return AuditReport(lines=total, checkpoints=checkpoints, problem=None)


def read_lines(
    folder: Path, *, user_id: str | None = None, key: str | None = None
) -> Iterator[dict[str, Any]]:
    """Yield the lines of an audit log, of a user or of a key, without verification."""
    wanted = None
    if user_id is not None:
        secret = read_secret(folder / SECRET)
        wanted = hmac.digest(secret, b"user " + user_id.encode(), "sha256").hex()[:32]
    with (folder / LOG).open("rb") as file:
        for line in file:
            try:
                document: dict[str, Any] = msgspec.json.decode(line)
            except msgspec.DecodeError:
                continue
            if wanted is not None and document.get("user") != wanted:
                continue
            if key is None or document.get("key") == key:
                yield document


def _check_line(n: int, line: bytes, before: str) -> tuple[str, str]:
    """Return a problem of a line, or "", and its hash."""
    body, end = line[: 1 - _TAIL], line[1 - _TAIL :]
    found = _hash(before, body)
    if end != b',"hash":"' + found.encode() + b'"}':
        return "its hash is wrong: it, or a line before it, was changed, added or removed", found
    if not body.startswith(f'{{"n":{n},'.encode()):
        return "its number is wrong", found
    return "", found


def _read_head(folder: Path) -> _Head | None:
    try:
        return msgspec.json.decode((folder / HEAD).read_bytes(), type=_Head)
    except FileNotFoundError:
        return None
    except msgspec.MsgspecError as error:
        raise ValueError(f"{HEAD}: {error}") from error


def _bad(lines: int, checkpoints: int, problem: str) -> AuditReport:
    return AuditReport(lines=lines, checkpoints=checkpoints, problem=problem)


def _hash(before: str, body: bytes) -> str:
    return hashlib.sha256(before.encode() + body).hexdigest()


def _signature(secret: bytes, lines: int, chained: str) -> str:
    return hmac.digest(secret, f"checkpoint {lines} {chained}".encode(), "sha256").hex()
