"""Erasures of many events, in pieces between other writes, also after a crash."""

import shutil
from collections.abc import Callable
from concurrent.futures import Future
from pathlib import Path

import pytest

from nearline.errors import StorageFailed
from nearline.log import SQLiteLog, burials, open_log, url_of, writer
from nearline.log.runs import Buried
from nearline.log.tables import Tables
from nearline.schema import Erased, Event
from nearline.testing.log_case import WAIT, Listener, append, erase, event

PIECE = 10
EVENTS = 35
PIECES = 4  # of all events of the user


@pytest.fixture(name="path")
def _path(tmp_path: Path) -> Path:
    return tmp_path / "log.db"


@pytest.fixture(name="pieces", autouse=True)
def _pieces(monkeypatch: pytest.MonkeyPatch) -> list[Callable[[], None]]:
    """Make pieces small; the functions in the list are called before the pieces, one each."""
    monkeypatch.setattr(burials, "PIECE", PIECE)
    monkeypatch.setattr(writer, "PIECE", PIECE)
    monkeypatch.setattr(burials, "RETRY_SECONDS", 0.01)
    before: list[Callable[[], None]] = []
    bury = Tables.bury

    def wrapped(self: Tables, events: list[Buried], *, erasures: int = 0) -> None:
        assert len(events) <= PIECE
        if before:
            before.pop(0)()
        bury(self, events, erasures=erasures)

    monkeypatch.setattr(Tables, "bury", wrapped)
    return before


def nothing() -> None:
    """Do nothing before a piece."""


def fill(log: SQLiteLog) -> None:
    append(log, event("kept", event_id="kept"))
    for number in range(EVENTS):
        append(log, event("victim@example", event_id=f"e{number}"))


def of_victim(log: SQLiteLog) -> list[int]:
    records = list(log.read())
    return [at for at, record in records if isinstance(record, Event) and "vic" in record.user_id]


def test_other_records_are_committed_between_two_pieces(
    path: Path, pieces: list[Callable[[], None]]
) -> None:
    order: list[str] = []
    with SQLiteLog(path) as log:
        log.listen(
            lambda records: order.extend(f"commit {at}" for at, _ in records),
            lambda user_id, events: order.append(f"erase {user_id} {len(events)}"),
        )
        fill(log)
        order.clear()

        def piece_and_append() -> None:
            order.append("piece")
            log.append([event("other")])

        def piece() -> None:
            order.append("piece")

        pieces += [piece, piece_and_append, piece, piece]
        assert erase(log, "victim@example") == EVENTS
        assert order == ["erase victim@example 35", "piece", "piece", "commit 36", "piece", "piece"]
        assert [at for at, record in log.read() if record != Erased()] == [0, 36]


def test_the_user_is_hidden_from_the_first_piece_on(
    path: Path, pieces: list[Callable[[], None]]
) -> None:
    seen: list[object] = []

    def look() -> None:
        seen.append(of_victim(log))
        seen.append(log.events_of("victim@example"))
        seen.append(log.erasures)
        with open_log(url_of(path), read_only=True) as reader:
            seen.append([at for at, record in reader.read() if isinstance(record, Event)])

    with SQLiteLog(path) as log:
        fill(log)
        pieces += [look]
        assert erase(log, "victim@example") == EVENTS
        assert seen == [[], [], 1, [0]]
        assert log.erasures == 1


def test_later_events_of_the_user_are_kept(path: Path, pieces: list[Callable[[], None]]) -> None:
    listener = Listener()
    second: list[Future[int]] = []
    appended: list[object] = []
    with SQLiteLog(path) as log:
        log.listen(listener.on_commit, listener.on_erase)
        fill(log)
        pieces += [lambda: appended.append(log.append([event("victim@example", "i2")]))]
        assert erase(log, "victim@example") == EVENTS
        assert of_victim(log) == [EVENTS + 1]
        # A second erasure, during the first, concerns the later event only.
        fill(log)
        pieces += [
            lambda: appended.append(log.append([event("victim@example", "i3")])),
            lambda: second.append(log.erase("victim@example")),
        ]
        first = log.erase("victim@example")
        assert first.result(WAIT) == EVENTS + 1
        assert second[0].result(WAIT) == 1
        assert of_victim(log) == []
        assert [len(events) for _, events in listener.erased] == [EVENTS, EVENTS + 1, 1]
        assert log.erasures == 3


@pytest.mark.parametrize("buried", range(PIECES))
def test_an_erasure_that_a_crash_interrupted_is_completed(
    path: Path, tmp_path: Path, pieces: list[Callable[[], None]], buried: int
) -> None:
    """The files as they are between two pieces are those after `kill -9`."""
    left = tmp_path / "left"

    def crash() -> None:
        shutil.copytree(path.parent, left, ignore=shutil.ignore_patterns("*.lock", "left"))

    with SQLiteLog(path) as log:
        fill(log)
        pieces += [nothing] * buried
        pieces += [crash]
        erase(log, "victim@example")
    copy = left / path.name
    with open_log(url_of(copy), read_only=True) as reader:
        assert [at for at, record in reader.read() if isinstance(record, Event)] == [0]
    with SQLiteLog(copy) as log:
        assert (log.end, log.erasures) == (EVENTS + 1, 1)
        assert of_victim(log) == []
        assert erase(log, "victim@example") == 0  # waits for the rest
        files = b"".join(file.read_bytes() for file in left.glob("log.db*"))
        assert b"victim@example" not in files
        assert b"kept" in files
        assert log.known(["kept", *(f"e{number}" for number in range(EVENTS))]) == [
            True,
            *([False] * EVENTS),
        ]
        # The user can return.
        append(log, event("victim@example", event_id="e0"))
        assert of_victim(log) == [EVENTS + 1]


def test_a_piece_that_cannot_be_written_is_reported_and_tried_again(
    path: Path, pieces: list[Callable[[], None]]
) -> None:
    def fail() -> None:
        raise StorageFailed("the disk is full")

    with SQLiteLog(path) as log:
        fill(log)
        pieces += [nothing, fail]
        with pytest.raises(StorageFailed, match="the disk is full"):
            erase(log, "victim@example")
        assert of_victim(log) == []
        assert erase(log, "victim@example") == 0  # waits for the rest
        files = b"".join(file.read_bytes() for file in path.parent.glob("log.db*"))
        assert b"victim@example" not in files


def test_closing_the_log_completes_an_erasure(path: Path) -> None:
    log = SQLiteLog(path)
    fill(log)
    erased = log.erase("victim@example")
    log.close()  # completes what is queued
    assert erased.result(WAIT) == EVENTS
