"""The durable, append-only record of what happened."""

from nearline.log.base import Appendable, Appended, Log, OnCommit, OnErase
from nearline.log.sqlite import SQLiteLog

__all__ = ["Appendable", "Appended", "Log", "OnCommit", "OnErase", "SQLiteLog"]
