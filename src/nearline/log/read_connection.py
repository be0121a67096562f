"""Read-only connections to a log file."""

from pathlib import Path
from urllib.parse import quote

import apsw


def connect_to_read(path: Path, busy_ms: int) -> apsw.Connection:
    """Open a connection for reading, also in a folder in which no file can be created.

    There, SQLite cannot create the index of the write-ahead file. Without a write-ahead file, all
    records are in the log file itself, which is then read alone.
    """
    db = apsw.Connection(str(path), flags=apsw.SQLITE_OPEN_READONLY)
    try:
        db.set_busy_timeout(busy_ms)
        db.pragma("schema_version")
    except (apsw.CantOpenError, apsw.IOError, apsw.FullError, apsw.ReadOnlyError):
        db.close()
        written = path.with_name(f"{path.name}-wal")
        if written.exists() and written.stat().st_size:
            raise
        flags = apsw.SQLITE_OPEN_READONLY | apsw.SQLITE_OPEN_URI
        return apsw.Connection(f"file:{quote(str(path))}?immutable=1", flags=flags)
    return db
