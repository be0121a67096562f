"""Payloads of a damaged file that are not what the log wrote."""

from pathlib import Path
from typing import Any

import apsw
import pytest

from nearline.data import dataset_from_log
from nearline.errors import Damaged
from nearline.log import SQLiteLog
from nearline.log.codec import decode
from nearline.testing.log_case import append, event


@pytest.mark.parametrize("payload", [None, "text", 7, 1.5, b"", b"\xff", b"\x81"])
def test_a_payload_that_is_no_record_is_reported_with_its_offset(payload: Any) -> None:
    with pytest.raises(Damaged, match="the log record at offset 42 cannot be read"):
        decode(42, payload)


@pytest.mark.parametrize("value", ["NULL", "'text'", "CAST(x'c3' AS TEXT)", "7"])
def test_a_column_value_that_is_not_binary_is_reported(tmp_path: Path, value: str) -> None:
    with SQLiteLog(tmp_path / "log.db") as log:
        append(log, event("a"), event("b"))
    with apsw.Connection(str(tmp_path / "log.db")) as db:
        db.execute("CREATE TABLE other (offset INTEGER PRIMARY KEY, payload)")
        db.execute(f"INSERT INTO other SELECT offset, iif(offset, payload, {value}) FROM log")
        db.execute("DROP TABLE log")
        db.execute("ALTER TABLE other RENAME TO log")
    with (
        SQLiteLog(tmp_path / "log.db") as log,
        pytest.raises(Damaged, match=r"\[0, 2\)|cannot be read"),
    ):
        dataset_from_log(log, 2)


def test_offsets_that_are_not_consecutive_are_reported(tmp_path: Path) -> None:
    """As many rows as there should be, one of them under the offset of another."""
    with SQLiteLog(tmp_path / "log.db") as log:
        append(log, event("a"), event("b"), event("c"))
    with apsw.Connection(str(tmp_path / "log.db")) as db:
        db.execute("CREATE TABLE other (offset INTEGER, payload)")  # not unique
        db.execute("INSERT INTO other SELECT iif(offset = 1, 0, offset), payload FROM log")
        db.execute("DROP TABLE log")
        db.execute("ALTER TABLE other RENAME TO log")
    with (
        SQLiteLog(tmp_path / "log.db") as log,
        pytest.raises(Damaged, match=r"offsets are missing in \[0, 3\)"),
    ):
        list(log.read())
