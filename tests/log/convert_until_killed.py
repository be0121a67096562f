"""Open a log of an earlier format, which converts it."""

from multiprocessing.connection import Connection
from pathlib import Path

from nearline.log import SQLiteLog


def convert(path: Path, done: Connection) -> None:
    """Send a value before the log is opened, and one after that."""
    done.send("begin")
    with SQLiteLog(path):
        done.send("end")
    done.close()
