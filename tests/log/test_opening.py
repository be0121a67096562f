"""Logs are opened by URL."""

from pathlib import Path

import pytest

from nearline.errors import InvalidInput
from nearline.log import MEMORY, open_log, url_of
from nearline.testing.log_case import append, event


def test_a_file_is_opened_by_url_and_by_path(tmp_path: Path) -> None:
    path = tmp_path / "log.db"
    log = open_log(url_of(path))
    append(log, event("a"))
    with open_log(str(path), read_only=True) as reader:
        assert (reader.end, reader.erasures) == (1, 0)
        assert list(reader.read()) == [(0, event("a"))]
    log.close()
    log = open_log(str(path))
    assert log.end == 1
    log.close()


def test_a_log_in_memory_is_opened_by_url() -> None:
    log = open_log(MEMORY)
    assert log.end == 0
    log.close()
    with pytest.raises(InvalidInput, match="read-only"):
        open_log(MEMORY, read_only=True)


def test_the_error_for_an_unknown_scheme_lists_the_known_ones() -> None:
    with pytest.raises(InvalidInput, match=r"'mysql' is not known; known are sqlite:///path"):
        open_log("mysql://host/shop")
