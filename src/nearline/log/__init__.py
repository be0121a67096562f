"""The log: the durable sequence of all events and catalogue changes."""

from nearline.log.base import (
    Appendable,
    Appended,
    Lease,
    Log,
    OnCommit,
    OnErase,
    Readable,
    ReadOnlyLog,
    ReadsPayloads,
    SharedLog,
    in_blocks,
)
from nearline.log.channel import FollowedLog, LogChannel, followed_through, following
from nearline.log.opening import MEMORY, open_log, url_of
from nearline.log.postgres.target import is_postgres, parse_target
from nearline.log.reader import LogReader
from nearline.log.sqlite import SQLiteLog
from nearline.log.unwritable import UnwritableLog, open_or_read

__all__ = [
    "MEMORY",
    "Appendable",
    "Appended",
    "FollowedLog",
    "Lease",
    "Log",
    "LogChannel",
    "LogReader",
    "OnCommit",
    "OnErase",
    "ReadOnlyLog",
    "Readable",
    "ReadsPayloads",
    "SQLiteLog",
    "SharedLog",
    "UnwritableLog",
    "followed_through",
    "following",
    "in_blocks",
    "is_postgres",
    "open_log",
    "open_or_read",
    "parse_target",
    "url_of",
]
