"""Persistent cache of text vectors, so that no text is encoded more than once.

The cache is a SQLite table: several processes can read while one writes, and a process that is
killed leaves no partial row. Vectors that are lost in a power failure are computed again.
"""

import logging
from collections.abc import Sequence
from hashlib import blake2b
from pathlib import Path
from threading import Lock

import apsw
import numpy as np

from nearline.encoders.base import Floats

logger = logging.getLogger(__name__)

BUSY_MS = 10_000
_SCHEMA = """
CREATE TABLE IF NOT EXISTS vectors (
    model BLOB NOT NULL, text BLOB NOT NULL, vector BLOB NOT NULL, PRIMARY KEY (model, text)
) STRICT
"""


class VectorCache:
    """Cache of text vectors, with model and text as the key; thread-safe.

    Parameters
    ----------
    path : Path or None
        File of the cache, created if missing; None keeps the cache in memory. If the file cannot
        be used, a warning is logged and the cache is in memory.
    """

    def __init__(self, path: Path | None) -> None:
        self._lock = Lock()
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
            cursor = self._connection.cursor()
            for text in texts:
                row = cursor.execute(
                    "SELECT vector FROM vectors WHERE model = ? AND text = ?", (key, _digest(text))
                ).fetchone()
                if row is not None:
                    found[text] = np.frombuffer(row[0], dtype="<f4").astype(np.float32)
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
        with self._lock, self._connection:
            self._connection.cursor().executemany(
                "INSERT OR IGNORE INTO vectors VALUES (?, ?, ?)",
                (
                    (key, _digest(text), row.tobytes())
                    for text, row in zip(texts, rows, strict=True)
                ),
            )

    def close(self) -> None:
        """Close the database connection; idempotent."""
        with self._lock:
            self._connection.close()


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
