"""Keys are found and erased wherever they are: in memory, in runs, and in runs that are merged."""

import shutil
import tempfile
from collections import Counter
from pathlib import Path
from random import Random
from typing import Any
from unittest.mock import patch

import apsw
import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from nearline.errors import Damaged
from nearline.kernels.key_filter import ABSENT, add_to_filter, filter_words, find_keys
from nearline.log import SQLiteLog, convert_index, run_index, runs
from nearline.log.codec import encode, event_key, keys_of, user_key
from nearline.log.run_index import RunIndex
from nearline.log.runs import Buried, fill, new_run
from nearline.log.tables import Tables, runs_of
from nearline.schema import Event
from nearline.testing.log_case import append, block, erase, event

USERS = [f"user {n}" for n in range(5)]
# A list, an imported block, a user to erase, a restart as after a kill, or one after closing.
EVENTS = st.lists(st.tuples(st.sampled_from(USERS), st.integers(0, 40)), max_size=6)
STEPS = st.one_of(
    st.tuples(st.sampled_from(["list", "block"]), EVENTS),
    st.tuples(st.just("erase"), st.sampled_from(USERS)),
    st.tuples(st.sampled_from(["killed", "closed", "lost"]), st.none()),
)


def index_of(log: SQLiteLog) -> RunIndex:
    return log._tables._index


def restarted(log: SQLiteLog, folder: Path, how: str) -> SQLiteLog:
    """Reopen the log; after a crash: open a copy of its files, made while it was open."""
    if how == "closed":
        log.close()
        return SQLiteLog(folder / "log.db")
    index_of(log).settle()
    with tempfile.TemporaryDirectory() as name:
        elsewhere = Path(name) / "copy"
        shutil.copytree(folder, elsewhere)
        log.close()
        shutil.rmtree(folder)
        shutil.copytree(elsewhere, folder)
    if how == "lost":
        shutil.rmtree(runs_of(folder / "log.db"), ignore_errors=True)
    return SQLiteLog(folder / "log.db")


@patch.object(run_index, "FLUSH", 4)
@patch.object(run_index, "FANOUT", 2)
@patch.object(run_index, "AGAIN", 3)
@patch.object(runs, "MERGED_AT_ONCE", 3)
@settings(max_examples=25, deadline=None)
@example(
    [
        ("list", [(USERS[0], 0)]),
        ("closed", None),
        ("list", [(USERS[0], 1), (USERS[0], 2), (USERS[0], 3)]),
        ("lost", None),
        ("killed", None),
    ]
)
@given(st.lists(STEPS, max_size=20))
def test_keys_are_found_wherever_they_are(steps: list[tuple[str, object]]) -> None:
    stored: dict[str, str] = {}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name) / "store"
        folder.mkdir()
        log = SQLiteLog(folder / "log.db")
        for step, what in steps:
            if step in ("list", "block"):
                events = [event(user, event_id=str(number)) for user, number in what]  # type: ignore[attr-defined]
                if step == "block":
                    log.append(block(*events)).result(120)
                else:
                    append(log, *events)
                for one in events:
                    stored.setdefault(one.event_id or "", one.user_id)
            elif step == "erase":
                mine = [number for number, user in stored.items() if user == what]
                assert erase(log, str(what)) == len(mine)
                for number in mine:
                    del stored[number]
            else:
                log = restarted(log, folder, step)
            kept = [one for _, one in log.read() if isinstance(one, Event)]
            assert {one.event_id: one.user_id for one in kept} == stored
            assert len(kept) == len(stored)
            numbers = [str(number) for number in range(41)]
            assert log.known(numbers) == [number in stored for number in numbers]
            for number, user in stored.items():
                assert log._user_of(number) == user
            for user in USERS:
                assert [one for _, one in log.events_of(user)] == [
                    one for one in kept if one.user_id == user
                ]
        log.close()


def test_an_entry_is_written_a_few_times(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Runs of 100 records, merged by fours: 64 runs become one, by way of 16 and 4."""
    monkeypatch.setattr(run_index, "FLUSH", 100)
    written: Counter[str] = Counter()
    seal = runs.seal

    def counted(run: runs.SortedRun) -> runs.SortedRun:
        written["entries" if run.path else "in memory"] += run.size
        return seal(run)

    for module in (runs, run_index):
        monkeypatch.setattr(module, "seal", counted)
    with SQLiteLog(tmp_path / "log.db") as log:
        for start in range(0, 6_400, 100):
            append(log, *(event(f"u{n % 90}", event_id=str(n)) for n in range(start, start + 100)))
            index_of(log).settle()
        assert [run.last - run.first for run in index_of(log)._runs] == [6_400]
        files = list(runs_of(tmp_path / "log.db").iterdir())
        assert [file.stat().st_size for file in files] == [64 + 6_400 * 32 + 8 * 1_601]
        assert len(log.events_of("u7")) == 71 + (6_400 % 90 > 7)
    assert written["entries"] == 4 * 2 * 6_400


KEYS = st.lists(st.tuples(st.integers(0, 6), st.integers(0, 2**64 - 1)), unique=True, max_size=30)


@settings(deadline=None)
@given(stored=KEYS, asked=KEYS)
def test_keys_with_equal_halves_are_told_apart(
    stored: list[tuple[int, int]], asked: list[tuple[int, int]]
) -> None:
    stored.sort(key=lambda key: key[0])
    high, low = (np.array([key[at] for key in stored], dtype=np.uint64) for at in (0, 1))
    words = np.zeros(filter_words(len(stored)), dtype=np.uint64)
    add_to_filter(words, high, low)
    asked = asked + stored[:5]
    found = np.full(len(asked), ABSENT, dtype=np.int64)
    first, second = (np.array([key[at] for key in asked], dtype=np.uint64) for at in (0, 1))
    offsets = np.arange(len(stored), dtype=np.uint32)
    find_keys(first, second, words, high, low, offsets, 10, found)
    place = {key: 10 + at for at, key in enumerate(stored)}
    assert found.tolist() == [place.get(key, ABSENT) for key in asked]


def test_no_trace_of_an_erased_key_is_left(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run_index, "FLUSH", 10)
    with SQLiteLog(tmp_path / "log.db") as log:
        append(log, *(event(f"u{n % 7}", event_id=str(n)) for n in range(40)))
        index_of(log).settle()
        erase(log, "u3")
    files = b"".join(file.read_bytes() for file in runs_of(tmp_path / "log.db").iterdir())
    for number in range(40):
        key = event_key(str(number))
        stored = key[:8][::-1] in files
        assert stored == (number % 7 != 3)
    assert user_key("u3").to_bytes(8, "little", signed=True) not in files
    assert user_key("u4").to_bytes(8, "little", signed=True) in files


@settings(deadline=None)
@given(
    st.lists(st.tuples(st.integers(0, 4), st.integers(0, 3), st.booleans()), min_size=1),
    st.randoms(),
)
def test_erased_entries_of_a_run_leave_no_key(
    rows: list[tuple[int, int, bool]], random: Random
) -> None:
    """In any order and in pieces; event keys may share their upper half."""
    keys = [bytes([upper] * 8) + at.to_bytes(8, "big") for at, (_, upper, _) in enumerate(rows)]
    keyed = [at for at, (_, _, with_id) in enumerate(rows) if with_id]
    run = fill(
        new_run(None, 100, 100 + len(rows), len(rows), len(keyed)),
        np.array([user for user, _, _ in rows], dtype=np.int64),
        np.arange(len(rows), dtype=np.uint32),
        np.frombuffer(b"".join(keys[at] for at in keyed), dtype=np.uint8).reshape(-1, 16),
        np.array(keyed, dtype=np.uint32),
    )
    left = set(range(len(rows)))
    while left:
        piece = random.sample(sorted(left), random.randint(1, len(left)))
        left -= set(piece)
        run.erase(
            [
                Buried(100 + at, rows[at][0], keys[at] if at in keyed else None)
                for at in sorted(piece)
            ]
        )
        for user in range(5):
            assert run.of_user(user) == [100 + at for at in sorted(left) if rows[at][0] == user]
        live_users = {rows[at][0] for at in left}
        live_keys = {int.from_bytes(keys[at][:8]) for at in left.intersection(keyed)}
        assert not live_users or set(run.users.tolist()) == live_users
        assert not live_keys or set(run.high.tolist()) == live_keys
        assert (np.diff(run.users) >= 0).all()
        assert (np.diff(run.high.astype(object)) >= 0).all()
    assert set(run.users.tolist()) <= {0} | {rows[at][0] for at in piece}


def test_a_key_that_an_interrupted_erasure_left_is_not_known(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(run_index, "FLUSH", 2)
    with SQLiteLog(tmp_path / "log.db") as log:
        append(log, event("a", event_id="1"), event("b", event_id="2"), event("a", event_id="3"))
        monkeypatch.setattr(RunIndex, "bury", lambda *_: None)
        erase(log, "a")
        assert log.known(["1", "2", "3"]) == [False, True, False]
        assert log.events_of("a") == []
        assert append(log, event("c", event_id="1")).accepted == 1


def test_a_full_disk_leaves_the_keys_in_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(run_index, "FLUSH", 2)

    def full(*_: object) -> None:
        raise OSError("no space")

    with SQLiteLog(tmp_path / "log.db") as log:
        with monkeypatch.context() as broken:
            broken.setattr(run_index, "seal", full)
            append(log, *(event("a", event_id=str(n)) for n in range(5)))
            log.append(block(event("b", event_id="5"))).result(120)
        assert index_of(log)._runs == ()
        append(log, event("a", event_id="6"))
        assert len(index_of(log)._runs) == 1
        assert all(log.known([str(n) for n in range(7)]))
        assert [offset for offset, _ in log.events_of("a")] == [0, 1, 2, 3, 4, 6]


def as_format(path: Path, version: int, indexed: int) -> None:
    """Turn a log of users u0, u1, ... into one of an earlier format."""
    with SQLiteLog(path) as log:
        records = list(log.read())
    shutil.rmtree(runs_of(path), ignore_errors=True)
    db = apsw.Connection(str(path))
    db.execute(
        "DROP TABLE runs; DROP TABLE recent; DELETE FROM meta WHERE name LIKE 'recent%'; "
        "CREATE TABLE users (user_key INTEGER, offset INTEGER, "
        "PRIMARY KEY (user_key, offset)) STRICT, WITHOUT ROWID; CREATE TABLE event_ids ("
        "event_key BLOB PRIMARY KEY, offset INTEGER) STRICT, WITHOUT ROWID;"
    )
    for offset, record in records[: max(indexed, 0) + 1]:  # some parts were moved earlier
        user, key = keys_of(record)
        db.execute("INSERT INTO users VALUES (?, ?)", (user, offset))
        db.execute("INSERT INTO event_ids VALUES (?, ?)", (key, offset))
    if version > 1:
        db.execute("INSERT INTO meta VALUES ('indexed', ?)", (indexed,))
    if version < 3:
        db.execute("ALTER TABLE event_ids DROP COLUMN offset")
    db.execute(f"PRAGMA user_version = {version}")
    db.close()


def check(path: Path, count: int) -> None:
    with SQLiteLog(path) as log:
        assert log.known([str(n) for n in range(count + 1)]) == [True] * count + [False]
        assert [offset for offset, _ in log.events_of("u1")] == list(range(1, count, 5))
        assert append(log, event("u1", event_id="7"), event("u1", event_id="new")).duplicates == 1
        assert [log.erase_event(number).result(120) for number in ("7", "new", "7")] == [1, 1, 0]
    db = apsw.Connection(str(path))
    tables = {name for (name,) in db.execute("SELECT name FROM sqlite_schema WHERE type = 'table'")}
    assert tables == {"log", "meta", "runs", "recent"}
    assert db.execute("PRAGMA user_version").get == 4
    db.close()


@pytest.mark.parametrize(("version", "indexed"), [(1, 59), (2, 40), (3, 40), (3, 0)])
def test_a_log_of_an_earlier_format_is_converted(
    tmp_path: Path, version: int, indexed: int
) -> None:
    path = tmp_path / "log.db"
    with SQLiteLog(path) as log:
        append(log, *(event(f"u{n % 5}", event_id=str(n)) for n in range(60)))
    as_format(path, version, indexed)
    check(path, 60)


class Killed(BaseException):
    """Stands for the end of the process."""


@pytest.mark.parametrize("point", [0, 1, 30, 31, 33, 63, 64, 65, 66])
def test_a_conversion_that_was_killed_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, point: int
) -> None:
    """Files get their names at 65 points; then the tables are dropped in one transaction."""
    path = tmp_path / "log.db"
    with SQLiteLog(path) as log:
        append(log, *(event(f"u{n % 5}", event_id=str(n)) for n in range(60)))
    as_format(path, 3, 60)
    renamed: list[Path] = []
    rename, read_users = Path.rename, convert_index._read_users

    def dying(self: Path, target: Path) -> Path:
        if len(renamed) == point:
            raise Killed
        renamed.append(self)
        return rename(self, target)

    with monkeypatch.context() as patched:
        patched.setattr(Path, "rename", dying)
        if point >= 65:
            patched.setattr(apsw, "Connection", _dying_connection(point))
        with pytest.raises(Killed):
            SQLiteLog(path)
    read: list[int] = []

    def counted(*args: object) -> object:
        read.append(1)
        return read_users(*args)  # type: ignore[arg-type]

    monkeypatch.setattr(convert_index, "_read_users", counted)
    check(path, 60)
    # Parts that were complete are not read again.
    assert len(read) == max(0, 32 - point)


def _dying_connection(point: int) -> type[apsw.Connection]:
    """Return connections that die before (65) or at the end of (66) the last transaction."""

    class Dying(apsw.Connection):
        def pragma(self, name: str, *args: Any, **more: Any) -> Any:
            if (name, args) == (("secure_delete", ("off",)), ("user_version", (4,)))[point - 65]:
                raise Killed
            return super().pragma(name, *args, **more)

    return Dying


def test_an_event_is_found_by_the_index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run_index, "FLUSH", 2)
    with (
        SQLiteLog(tmp_path / "log.db") as log,
        patch.object(log, "read", side_effect=AssertionError),
    ):
        append(log, event("a"), event("b", event_id="1"))
        log.append(block(event("c", event_id="2"), event("d"), event("e", event_id="3"))).result(
            120
        )
        append(log, event("f", event_id="4"))
        assert [log._user_of(number) for number in "1234"] == ["b", "c", "e", "f"]
        assert log.erase_event("3").result(120) == 1


def test_opening_fails_if_a_record_without_stored_keys_is_damaged(tmp_path: Path) -> None:
    """Otherwise the record could never be erased."""
    path = tmp_path / "log.db"
    tables = Tables(path)
    tables.insert([encode(event("a"))])
    db = apsw.Connection(str(path))
    db.execute("UPDATE log SET payload = x'c1'")
    with pytest.raises(Damaged, match="offset 0 cannot be read"):
        Tables(path)
    db.close()
    tables.close()


@pytest.mark.parametrize("offset", [4, 9])
def test_a_damaged_offset_far_from_the_others_is_an_error(tmp_path: Path, offset: int) -> None:
    path = tmp_path / "log.db"
    with SQLiteLog(path) as log:
        append(log, *(event("a", event_id=str(n)) for n in range(10)))
    with apsw.Connection(str(path)) as db:
        db.execute("UPDATE log SET offset = ? WHERE offset = ?", (2**50, offset))
    with pytest.raises(Damaged, match="the log lacks records between the offsets 10 and"):
        SQLiteLog(path)


@pytest.mark.parametrize("damage", [b"", b"short", b"x" * 4_000])
def test_a_damaged_run_is_made_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, damage: bytes
) -> None:
    monkeypatch.setattr(run_index, "FLUSH", 4)
    path = tmp_path / "log.db"
    with SQLiteLog(path) as log:
        for start in (0, 5, 10):
            append(log, *(event("a", event_id=str(n)) for n in range(start, start + 5)))
    sorted(runs_of(path).iterdir())[1].write_bytes(damage)
    with SQLiteLog(path) as log:
        assert len(log.events_of("a")) == 15
        assert all(log.known([str(n) for n in range(15)]))
        assert [run.last for run in index_of(log)._runs][-1] == 15


def test_only_events_have_keys() -> None:
    assert keys_of(event("a")) == (user_key("a"), None)
    assert keys_of(Event(user_id="a", item_id="i", timestamp=0.0, event_id="1"))[1] is not None


def test_keys_stored_before_a_lost_run_are_read_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The file says that it has the keys of offset 0, as files of earlier versions may."""
    monkeypatch.setattr(run_index, "FLUSH", 4)
    path = tmp_path / "log.db"
    with SQLiteLog(path) as log:
        append(log, event("u", event_id="0"))
    with SQLiteLog(path) as log:
        append(log, *(event("u", event_id=str(number)) for number in (1, 2, 3)))
        index_of(log).settle()
    with apsw.Connection(str(path)) as db:
        db.execute("UPDATE meta SET value = 0 WHERE name = 'recent_first'")
        db.execute("UPDATE meta SET value = 1 WHERE name = 'recent_last'")
    shutil.rmtree(runs_of(path))
    for _ in range(2):  # the list of runs is empty the second time
        with SQLiteLog(path) as log:
            assert log.known(["0", "1", "2", "3"]) == [True] * 4
            index_of(log)._end = index_of(log)._indexed  # the keys are not stored again
