"""Contract tests of copying a log and of opening it by URL."""
# ruff: noqa: S101

from collections.abc import Callable
from pathlib import Path

import pytest

from nearline.errors import DataNotFound, InvalidInput
from nearline.log.base import Log
from nearline.log.opening import open_log, url_of
from nearline.schema import Erased, Item
from nearline.testing.log_case import WAIT, LogCase, append, erase, event


class LogCopyTests(LogCase):
    """Contract tests of `copy_to` and `open_log`."""

    # Copies

    def test_a_copy_contains_everything_up_to_now(self, log: Log, tmp_path: Path) -> None:
        """A copy has the records, tombstones, event IDs, end and erasure count of its time."""
        path = tmp_path / "copy.db"
        item = Item(item_id="i", timestamp=2.0, title="Tea")
        append(log, event("a", event_id="e1"), item, event("b", event_id="e2"), event("c"))
        erase(log, "b")
        log.copy_to(path)
        append(log, event("d"))
        copy = open_log(url_of(path))
        try:
            assert (copy.end, copy.erasures) == (4, 1)
            assert list(copy.read()) == [
                (0, event("a", event_id="e1")),
                (1, item),
                (2, Erased()),
                (3, event("c")),
            ]
            assert [offset for offset, _ in copy.events_of("a")] == [0]
            assert append(copy, event("z", event_id="e1")).duplicates == 1
            assert append(copy, event("z", event_id="e2")).offset == 5
        finally:
            copy.close()
        assert log.end == 5
        assert list(log.read(4)) == [(4, event("d"))]

    def test_a_copy_is_made_while_records_are_appended(self, log: Log, tmp_path: Path) -> None:
        """The copy is a prefix of the log that ends between two commits."""
        path = tmp_path / "copy.db"
        futures = [log.append([event(f"u{n}"), event(f"v{n}")]) for n in range(200)]
        futures[20].result(WAIT)
        log.copy_to(path)
        assert [future.result(WAIT).offset for future in futures] == list(range(2, 401, 2))
        copy = open_log(url_of(path))
        try:
            assert copy.end >= 42
            assert copy.end % 2 == 0
            assert list(copy.read()) == list(log.read(0, copy.end))
        finally:
            copy.close()

    def test_a_copy_replaces_nothing(self, log: Log, tmp_path: Path) -> None:
        """A copy fails if the target exists or its folder does not exist."""
        path = tmp_path / "copy.db"
        path.write_text("mine")
        with pytest.raises(InvalidInput, match=r"copy\.db exists"):
            log.copy_to(path)
        assert path.read_text() == "mine"
        with pytest.raises(DataNotFound, match="nowhere"):
            log.copy_to(tmp_path / "nowhere" / "copy.db")

    # Opening by URL

    def test_a_log_is_opened_again_by_its_url(
        self, log: Log, url: str, reopen: Callable[[Log], Log]
    ) -> None:
        """The URL alone identifies the log."""
        append(log, event("a"))
        again = reopen(log)
        assert list(again.read()) == [(0, event("a"))]
        again.close()
        with open_log(url, read_only=True) as reader:
            assert list(reader.read()) == [(0, event("a"))]

    def test_a_reader_sees_the_log_as_it_was_when_it_was_opened(self, log: Log, url: str) -> None:
        """A reader neither waits for the writer nor blocks it, and does not see later records."""
        if not self.durable:
            pytest.skip("this log is not durable")
        append(log, event("a"), event("b"), event("c"))
        erase(log, "b")
        with open_log(url, read_only=True) as reader:
            append(log, event("d"))
            assert (reader.end, reader.erasures) == (3, 1)
            assert list(reader.read()) == [(0, event("a")), (1, Erased()), (2, event("c"))]
            assert list(reader.read(2, 9)) == [(2, event("c"))]
            assert erase(log, "c") == 1

    def test_a_log_that_is_not_durable_has_no_readers(self, log: Log, url: str) -> None:
        """Opening such a log read-only fails, since another process could not read it."""
        if self.durable:
            pytest.skip("this log is durable")
        append(log, event("a"))
        with pytest.raises(InvalidInput, match="read-only"):
            open_log(url, read_only=True)

    def test_reading_creates_no_log(self, url: str) -> None:
        """Opening a log that does not exist read-only fails and creates no file."""
        if not self.durable:
            pytest.skip("this log is not durable")
        for _ in range(2):
            with pytest.raises(DataNotFound):
                open_log(url, read_only=True)
