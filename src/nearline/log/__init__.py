"""The log: the durable sequence of all events and catalogue changes."""

from nearline.log.base import (
    Appendable,
    Appended,
    Log,
    OnCommit,
    OnErase,
    Readable,
    ReadOnlyLog,
    ReadsPayloads,
    in_blocks,
)
from nearline.log.opening import MEMORY, open_log, url_of
from nearline.log.reader import LogReader
from nearline.log.sqlite import SQLiteLog
from nearline.log.unwritable import UnwritableLog, open_or_read

__all__ = [
    "MEMORY",
    "Appendable",
    "Appended",
    "Log",
    "LogReader",
    "OnCommit",
    "OnErase",
    "ReadOnlyLog",
    "Readable",
    "ReadsPayloads",
    "SQLiteLog",
    "UnwritableLog",
    "in_blocks",
    "open_log",
    "open_or_read",
    "url_of",
]
