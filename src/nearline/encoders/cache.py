"""Persistent cache of text vectors, so that no text is encoded more than once.

The cache is a SQLite table: several processes can read while one writes, and a process that is
killed leaves no partial row. Vectors that are lost in a power failure are computed again.
"""

import logging
import os
from collections.abc import Sequence
from hashlib import blake2b
from pathlib import Path
from threading import Lock
from typing import Any

import apsw
import numpy as np

from nearline.encoders.base import Floats
from nearline.sealing import VECTORS_SECRET, new_cipher, secret_of, unlocked_beside

logger = logging.getLogger(__name__)

BUSY_MS = 10_000
_SCHEMA = """
CREATE TABLE IF NOT EXISTS vectors (
    model BLOB NOT NULL, text BLOB NOT NULL, vector BLOB NOT NULL, PRIMARY KEY (model, text)
) STRICT
"""
_NONCE_BYTES = 12
# Value of ``user_version`` of a file whose rows are sealed.
_SEALED = 1


class VectorCache:
    """Cache of text vectors, with model and text as the key; thread-safe.

    In the folder of a sealed store that this process has unlocked, texts are named by a keyed hash
    and vectors are encrypted with AES-256-GCM, with a key that the root key of the store gives. A
    file with other rows is sealed when it is first used.

    Parameters
    ----------
    path : Path or None
        File of the cache, created if missing; None keeps the cache in memory. If the file cannot
        be used, a warning is logged and the cache is in memory.
    """

    def __init__(self, path: Path | None) -> None:
        self._lock = Lock()
        self._path: Path | None = path
        self._codec: _Plain | None = None
        try:
            if path is not None:
                path.parent.mkdir(parents=True, exist_ok=True)
            self._connection = _open(":memory:" if path is None else str(path))
        except (apsw.Error, OSError) as error:
            logger.warning(
                "text vectors are not cached: %s cannot be used (%s); delete it, or set "
                "NEARLINE_CACHE to a writable folder",
                path,
                error,
            )
            self._path = None
            self._connection = _open(":memory:")

    def get(self, model: str, texts: Sequence[str]) -> dict[str, Floats]:
        """Return the cached vectors of texts.

        Parameters
        ----------
        model : str
            Fingerprint of the encoder.
        texts : sequence of str
            Texts to look up.

        Returns
        -------
        dict of str to float32 [d]
            Vectors by text; texts that are not cached are missing.
        """
        found: dict[str, Floats] = {}
        key = model.encode()
        with self._lock:
            codec, cursor = self._opened(), self._connection.cursor()
            for text in texts:
                name = codec.name(_digest(text))
                row = cursor.execute(
                    "SELECT vector FROM vectors WHERE model = ? AND text = ?", (key, name)
                ).fetchone()
                vector = None if row is None else codec.opened(name, row[0])
                if vector is not None:
                    found[text] = np.frombuffer(vector, dtype="<f4").astype(np.float32)
        return found

    def add(self, model: str, texts: Sequence[str], vectors: Floats) -> None:
        """Add the vectors of texts; existing entries are not changed.

        Parameters
        ----------
        model : str
            Fingerprint of the encoder.
        texts : sequence of str
            The n texts.
        vectors : float32 [n, d]
            Vector of each text.
        """
        key, rows = model.encode(), vectors.astype("<f4", copy=False)
        with self._lock:
            codec = self._opened()
            names = [codec.name(_digest(text)) for text in texts]
            with self._connection:
                self._connection.cursor().executemany(
                    "INSERT OR IGNORE INTO vectors VALUES (?, ?, ?)",
                    (
                        (key, name, codec.sealed(name, row.tobytes()))
                        for name, row in zip(names, rows, strict=True)
                    ),
                )

    def seal(self) -> None:
        """Seal the rows of the file now, if its store is sealed and unlocked."""
        with self._lock:
            self._opened()

    def close(self) -> None:
        """Close the database connection; idempotent."""
        with self._lock:
            self._connection.close()

    def _opened(self) -> "_Plain":
        """Return how rows are written; the store is unlocked before the first one."""
        if self._codec is None:
            unlocked = None if self._path is None else unlocked_beside(self._path)
            if unlocked is None:
                return _Plain()
            self._codec = _Sealed(secret_of(unlocked, VECTORS_SECRET))
            _seal_rows(self._connection, self._codec)
        return self._codec


class _Plain:
    """Rows in clear text."""

    def name(self, digest: bytes) -> bytes:
        """Return the name of a text in the table."""
        return digest

    def sealed(self, name: bytes, vector: bytes) -> bytes:  # noqa: ARG002
        """Return the bytes of a vector in the table."""
        return vector

    def opened(self, name: bytes, stored: bytes) -> bytes | None:  # noqa: ARG002
        """Return the vector of a row; None if it cannot be read."""
        return stored


class _Sealed(_Plain):
    """Sealed rows."""

    def __init__(self, secret: bytes) -> None:
        self._cipher: Any = new_cipher(secret)
        self._names = blake2b(b"names", key=secret, digest_size=32).digest()

    def name(self, digest: bytes) -> bytes:
        return blake2b(digest, key=self._names, digest_size=16).digest()

    def sealed(self, name: bytes, vector: bytes) -> bytes:
        nonce = os.urandom(_NONCE_BYTES)
        found: bytes = nonce + self._cipher.encrypt(nonce, vector, name)
        return found

    def opened(self, name: bytes, stored: bytes) -> bytes | None:
        from cryptography.exceptions import InvalidTag

        try:
            found: bytes = self._cipher.decrypt(stored[:_NONCE_BYTES], stored[_NONCE_BYTES:], name)
        except (InvalidTag, ValueError):
            return None  # damaged, or of another store: the text is encoded again
        return found


def _seal_rows(db: apsw.Connection, codec: _Sealed) -> None:
    """Seal all rows of a file that has plain ones, and leave none of their bytes in it."""
    db.pragma("secure_delete", "on")
    with db:
        db.execute("DELETE FROM vectors WHERE false")  # takes the lock of writers
        if db.pragma("user_version") == _SEALED:
            return
        keys: list[Any] = db.execute("SELECT model, text FROM vectors").fetchall()
        for key in keys:
            vector: Any
            (vector,) = db.execute("SELECT vector FROM vectors WHERE model = ? AND text = ?", key)
            db.execute("DELETE FROM vectors WHERE model = ? AND text = ?", key)
            name = codec.name(key[1])
            row = (key[0], name, codec.sealed(name, vector[0]))
            db.execute("INSERT OR REPLACE INTO vectors VALUES (?, ?, ?)", row)
        db.pragma("user_version", _SEALED)
    db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()


def _open(path: str) -> apsw.Connection:
    connection = apsw.Connection(path)
    connection.set_busy_timeout(BUSY_MS)
    # No fsync at each commit: lost rows are encoded again.
    connection.pragma("journal_mode", "wal")
    connection.pragma("synchronous", "normal")
    connection.execute(_SCHEMA)
    return connection


def _digest(text: str) -> bytes:
    return blake2b(text.encode(), digest_size=16).digest()
