"""The durable, append-only record of what happened."""

from nearline.log.base import Appendable, Appended, Log, OnCommit, OnErase, Readable
from nearline.log.reader import LogReader
from nearline.log.sqlite import SQLiteLog

__all__ = [
    "Appendable",
    "Appended",
    "Log",
    "LogReader",
    "OnCommit",
    "OnErase",
    "Readable",
    "SQLiteLog",
]
