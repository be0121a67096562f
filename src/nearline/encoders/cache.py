"""Vectors of texts that were encoded before, in a file: no text is encoded twice.

A table in SQLite: many processes may read while one writes, and a process that is killed leaves
no half of a row. What a power cut takes away is encoded again.
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
    """Vectors by model and text; any thread may call.

    Parameters
    ----------
    path : Path or None
        The file, made where there is none; None keeps all in memory. A file that cannot be used is
        passed over with a warning.
    """

    def __init__(self, path: Path | None) -> None:
        self._lock = Lock()
        try:
            if path is not None:
                path.parent.mkdir(parents=True, exist_ok=True)
            self._connection = _open(":memory:" if path is None else str(path))
        except (apsw.Error, OSError) as error:
            logger.warning(
                "vectors of texts are not kept: %s cannot be used (%s); delete it, or set "
                "NEARLINE_CACHE to a folder that can be written",
                path,
                error,
            )
            self._connection = _open(":memory:")

    def get(self, model: str, texts: Sequence[str]) -> dict[str, Floats]:
        """Vectors, float32 [d], of those `texts` that are known."""
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
        """Keep the vectors of texts; those that are known stay as they are."""
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
        """Close the file; safe to call twice."""
        with self._lock:
            self._connection.close()


def _open(path: str) -> apsw.Connection:
    connection = apsw.Connection(path)
    connection.set_busy_timeout(BUSY_MS)
    # Not on the disk at each commit: what is lost is made again.
    connection.pragma("journal_mode", "wal")
    connection.pragma("synchronous", "normal")
    connection.execute(_SCHEMA)
    return connection


def _digest(text: str) -> bytes:
    return blake2b(text.encode(), digest_size=16).digest()
