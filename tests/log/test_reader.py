"""Reading a log while it is written."""

from pathlib import Path

import pytest

from nearline.errors import Damaged, DataNotFound
from nearline.log import LogReader, SQLiteLog
from nearline.schema import Event


def event(number: int) -> Event:
    return Event(user_id=f"u{number}", item_id="i", timestamp=float(number))


def test_a_reader_sees_records_committed_before_it_was_opened(tmp_path: Path) -> None:
    path = tmp_path / "log.db"
    with SQLiteLog(path) as log:
        log.append([event(number) for number in range(3)]).result()
        assert log.erase("u1").result() == 1
        with LogReader(path) as reader:
            log.append([event(3)]).result()
            assert (reader.end, reader.erasures) == (3, 1)
            assert list(reader.read()) == list(log.read(0, 3))
            assert list(reader.read(2, 9)) == [(2, event(2))]
        # The reader did not keep the write-ahead file from being emptied.
        assert log.erase("u2").result() == 1


def test_a_reader_writes_nothing(tmp_path: Path) -> None:
    with pytest.raises(DataNotFound):
        LogReader(tmp_path / "log.db")
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "log.db").touch()
    with pytest.raises(Damaged, match="not a log"):
        LogReader(tmp_path / "log.db")
    assert (tmp_path / "log.db").read_bytes() == b""
