"""The file ``keys.db``: the wrapped keys of a sealed store."""

import os
from collections.abc import Callable, Sequence
from hashlib import blake2b
from pathlib import Path
from threading import RLock
from typing import Any, NamedTuple, cast

import apsw
from msgspec import Struct

from nearline.errors import Damaged, InvalidInput, MissingExtra, StorageFailed
from nearline.sealing.master import KEY_BYTES, master_key

NONCE_BYTES, TAG_BYTES = 12, 16
WRAPPED_BYTES = NONCE_BYTES + KEY_BYTES + TAG_BYTES
# Owners of keys that are not users. An ID of a user cannot begin with a zero character.
CATALOGUE, FILES = "\0catalogue", "\0files"
# Keys that are made at once, and durable before one is used.
POOL = 1_024
# Ciphers in memory.
MOST_CIPHERS = 65_536
OWNER_BYTES = 16
MOST_KEYS = 2**62
BUSY_MS = 5_000
_DESTROYED = bytes(WRAPPED_BYTES)
# Rows of `keys` never move and never change their size, so that a destroyed key leaves no copy in
# an unused part of a page.
_SCHEMA = """
CREATE TABLE keys (id INTEGER PRIMARY KEY, wrapped BLOB NOT NULL) STRICT;
CREATE TABLE owners (owner BLOB, id INTEGER, retired INTEGER, PRIMARY KEY (owner, id))
    STRICT, WITHOUT ROWID;
CREATE TABLE root (name TEXT PRIMARY KEY, value BLOB NOT NULL) STRICT, WITHOUT ROWID;
"""


class Unlocked(Struct, frozen=True):
    """What opens a sealed store: the path of ``keys.db``, and its root key."""

    path: str
    root: bytes


class Held(NamedTuple):
    """Key of an owner."""

    id: int
    cipher: Any


def new_cipher(key: bytes) -> Any:
    """Return the AES-256-GCM cipher of a key; raise `MissingExtra` without cryptography."""
    try:
        from cryptography.hazmat.primitives.ciphers.aead import AESGCM
    except ImportError as error:
        raise MissingExtra(
            "a sealed store needs cryptography, which is not installed: pip install nearline[seal]"
        ) from error
    return AESGCM(key)


def create_keys(path: Path, source: str) -> Unlocked:
    """Create ``keys.db``, with a new root key that the master key of a source wraps."""
    master, root = master_key(source), os.urandom(KEY_BYTES)
    wrapped = _wrap(new_cipher(master), root, b"root")
    partial = path.with_name(f".{path.name}.{os.getpid()}")
    partial.unlink(missing_ok=True)
    os.close(os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
    db = apsw.Connection(str(partial))
    try:
        db.pragma("synchronous", "full")
        with db:
            db.execute(_SCHEMA)
            db.execute("INSERT INTO root VALUES ('key', ?)", (wrapped,))
    finally:
        db.close()
    partial.rename(path)
    return Unlocked(str(path), root)


def unlock(path: Path, source: str) -> Unlocked:
    """Unwrap the root key.

    Raises
    ------
    InvalidInput
        There is no master key at the source, or it is another one.
    Damaged
        The file is no key file.
    """
    master = master_key(source)
    try:
        db = apsw.Connection(str(path), flags=apsw.SQLITE_OPEN_READWRITE)
        try:
            wrapped = db.execute("SELECT value FROM root WHERE name = 'key'").get
        finally:
            db.close()
    except apsw.Error as error:
        raise Damaged(f"{path} is no file of keys ({error}); restore it from a copy") from error
    return Unlocked(str(path), _unwrap_root(wrapped, master, path, source))


def rotate(path: Path, source: str, new_source: str) -> None:
    """Wrap the root key with another master key; an open store need not be closed."""
    old, new = unlock(path, source), master_key(new_source)
    wrapped = _wrap(new_cipher(new), old.root, b"root")
    db = apsw.Connection(str(path), flags=apsw.SQLITE_OPEN_READWRITE)
    try:
        db.set_busy_timeout(BUSY_MS)
        db.pragma("secure_delete", "on")
        db.pragma("synchronous", "full")
        with db:
            db.execute("UPDATE root SET value = ? WHERE name = 'key'", (wrapped,))
        db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
    finally:
        db.close()


class SealingKeys:
    """The keys of an open store. Reads are possible in any thread.

    Parameters
    ----------
    unlocked : Unlocked
    read_only : bool
        Whether no keys are made or destroyed, since another process does.
    """

    def __init__(self, unlocked: Unlocked, *, read_only: bool = False) -> None:
        self._path, self._root = unlocked.path, new_cipher(unlocked.root)
        self._digest_key = blake2b(b"owners", key=unlocked.root, digest_size=32).digest()
        self._lock = RLock()
        self._ciphers: dict[int, Any] = {}
        self._held: dict[str, Held] = {}
        self._pool: list[Held] = []
        flags = apsw.SQLITE_OPEN_READONLY if read_only else apsw.SQLITE_OPEN_READWRITE
        self._db = self._explained(lambda: apsw.Connection(self._path, flags=flags))
        self._db.set_busy_timeout(BUSY_MS)
        if not read_only:
            for name, value in (("journal_mode", "wal"), ("secure_delete", "on")):
                self._db.pragma(name, value)
            self._db.pragma("temp_store", "memory")

    def of(self, owners: Sequence[str]) -> list[Held]:
        """Return the key of each owner, which is made if there is none."""
        with self._lock:
            distinct = dict.fromkeys(owners)
            found = {owner: self._held[owner] for owner in distinct if owner in self._held}
            missing = [owner for owner in distinct if owner not in found]
            if missing:
                found |= self._current(missing)
                new = {owner: self._take() for owner in missing if owner not in found}
                if new:
                    self._assign(new)
                    found |= new
                for owner in missing:
                    self._hold(owner, found[owner])
            return [found[owner] for owner in owners]

    def current(self, owner: str) -> Held | None:
        """Return the key with which records of an owner are sealed; None if there is none."""
        with self._lock:
            return self._current([owner]).get(owner)

    def cipher(self, key_id: int) -> Any:
        """Return the cipher of a key; None if it was destroyed.

        Raises
        ------
        Damaged
            The file does not have the key, since it is older than the log.
        """
        found = self._ciphers.get(key_id)
        if found is not None:
            return found
        query = "SELECT wrapped FROM keys WHERE id = ?"
        with self._lock:
            known = key_id < MOST_KEYS
            row = (key_id,)
            wrapped = self._explained(lambda: self._db.execute(query, row).get) if known else None
        if wrapped is None:
            raise Damaged(
                f"{self._path} does not have key {key_id} of the log; it is older than the log: "
                "restore the newest copy of this file"
            )
        if wrapped == _DESTROYED:
            return None
        cipher = new_cipher(self._unwrap(cast("bytes", wrapped), key_id))
        if len(self._ciphers) >= MOST_CIPHERS:
            self._ciphers.clear()
        self._ciphers[key_id] = cipher
        return cipher

    def alone(self, count: int) -> list[Held]:
        """Return new keys without an owner, each for one piece of data; see `overwrite`."""
        with self._lock:
            return [self._take() for _ in range(count)]

    def retire(self, owner: str) -> list[int]:
        """Use another key for later records of an owner; return the IDs of all earlier ones."""
        digest = self._digest(owner)
        with self._lock:
            self._held.pop(owner, None)
            self._execute("UPDATE owners SET retired = 1 WHERE owner = ?", [(digest,)])
            query = "SELECT id FROM owners WHERE owner = ?"
            return [cast("int", row[0]) for row in self._db.execute(query, (digest,))]

    def destroy(self, owner: str, ids: Sequence[int]) -> None:
        """Overwrite keys of an owner, durably, also in the write-ahead file."""
        digest = self._digest(owner)
        self.overwrite(ids, [(digest, key_id) for key_id in ids])

    def overwrite(self, ids: Sequence[int], owned: Sequence[tuple[bytes, int]] = ()) -> None:
        """Overwrite keys, durably, also in the write-ahead file; `owned` are their owners."""
        with self._lock:
            for key_id in ids:
                self._ciphers.pop(key_id, None)
            if not ids:
                return
            self._db.pragma("synchronous", "full")
            try:
                rows = [(_DESTROYED, key_id) for key_id in ids]
                self._execute("UPDATE keys SET wrapped = ? WHERE id = ?", rows)
                self._execute("DELETE FROM owners WHERE owner = ? AND id = ?", owned)
                busy = self._explained(
                    lambda: self._db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()[0][0]
                )
            finally:
                self._db.pragma("synchronous", "normal")
        if busy:
            raise StorageFailed(f"a reader held {self._path} for too long; erase again")

    def close(self) -> None:
        """Release the file; idempotent."""
        with self._lock:
            self._db.close()

    def _take(self) -> Held:
        if not self._pool:
            top = self._explained(lambda: self._db.execute("SELECT max(id) FROM keys").get)
            first = cast("int", top or 0) + 1
            keys = [(first + at, os.urandom(KEY_BYTES)) for at in range(POOL)]
            rows = [(at, _wrap(self._root, key, str(at).encode())) for at, key in keys]
            self._db.pragma("synchronous", "full")  # before a record is sealed with one of them
            try:
                self._execute("INSERT INTO keys VALUES (?, ?)", rows)
            finally:
                self._db.pragma("synchronous", "normal")
            self._pool = [Held(at, new_cipher(key)) for at, key in reversed(keys)]
        return self._pool.pop()

    def _current(self, owners: Sequence[str]) -> dict[str, Held]:
        """Return the keys of those owners that have one."""
        named = {self._digest(owner): owner for owner in owners}
        query = (
            "SELECT owner, max(id) FROM owners WHERE NOT retired "
            "AND owner IN (SELECT value FROM carray(?)) GROUP BY owner"
        )
        digests = (apsw.carray(tuple(named)),)
        rows = self._explained(lambda: self._db.execute(query, digests).fetchall()) if named else []
        found = ((named[digest], key_id) for digest, key_id in rows)
        ciphers = ((owner, key_id, self.cipher(key_id)) for owner, key_id in found)
        # The key of an owner that was destroyed is no key.
        return {owner: Held(key, cipher) for owner, key, cipher in ciphers if cipher is not None}

    def _assign(self, new: dict[str, Held]) -> None:
        rows = [(self._digest(owner), held.id) for owner, held in new.items()]
        self._execute("INSERT INTO owners VALUES (?, ?, 0)", rows)

    def _hold(self, owner: str, held: Held) -> None:
        if len(self._held) >= MOST_CIPHERS:
            self._held.clear()
        self._held[owner] = held

    def _execute(self, statement: str, rows: Sequence[tuple[Any, ...]]) -> None:
        def run() -> None:
            with self._db:
                self._db.executemany(statement, rows)

        self._explained(run)

    def _explained(self, do: Callable[[], Any]) -> Any:
        try:
            return do()
        except (apsw.CorruptError, apsw.NotADBError) as error:
            raise Damaged(f"{self._path} is damaged ({error}); restore it from a copy") from error
        except apsw.Error as error:
            raise StorageFailed(f"{self._path}: {error}; free space or repair the disk") from error

    def _unwrap(self, wrapped: bytes, key_id: int) -> bytes:
        from cryptography.exceptions import InvalidTag

        try:
            return _unwrap(self._root, wrapped, str(key_id).encode())
        except InvalidTag:
            raise Damaged(f"key {key_id} in {self._path} is damaged; restore the file") from None

    def _digest(self, owner: str) -> bytes:
        return blake2b(owner.encode(), key=self._digest_key, digest_size=OWNER_BYTES).digest()


def _wrap(cipher: Any, key: bytes, name: bytes) -> bytes:
    nonce = os.urandom(NONCE_BYTES)
    return nonce + cast("bytes", cipher.encrypt(nonce, key, name))


def _unwrap(cipher: Any, wrapped: bytes, name: bytes) -> bytes:
    return cast("bytes", cipher.decrypt(wrapped[:NONCE_BYTES], wrapped[NONCE_BYTES:], name))


def _unwrap_root(wrapped: object, master: bytes, path: Path, source: str) -> bytes:
    cipher = new_cipher(master)
    from cryptography.exceptions import InvalidTag

    if not isinstance(wrapped, bytes):
        raise Damaged(f"{path} is no file of keys; restore it from a copy")
    try:
        return _unwrap(cipher, wrapped, b"root")
    except InvalidTag:
        raise InvalidInput(
            f"the master key {source!r} is not the one of {path}; give the key with which the "
            "store was sealed, or to which it was rotated",
            field="seal",
        ) from None
