"""Keys in memory are known, found and erased like keys in the file."""

import shutil
import tempfile
from pathlib import Path
from unittest.mock import patch

import apsw
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nearline.errors import Damaged
from nearline.log import SQLiteLog, key_index
from nearline.log.codec import encode, keys_of, user_key
from nearline.log.key_index import KeyIndex
from nearline.log.tables import _SCHEMA, Tables
from nearline.schema import Event
from nearline.testing.log_case import append, block, erase, event

USERS = [f"user {n}" for n in range(5)]
# A list, an imported block, a user to erase, a restart as after a kill, or one after closing.
EVENTS = st.lists(st.tuples(st.sampled_from(USERS), st.integers(0, 40)), max_size=6)
STEPS = st.one_of(
    st.tuples(st.sampled_from(["list", "block"]), EVENTS),
    st.tuples(st.just("erase"), st.sampled_from(USERS)),
    st.tuples(st.sampled_from(["killed", "closed"]), st.none()),
)


def restarted(log: SQLiteLog, folder: Path, how: str) -> SQLiteLog:
    """Reopen the log; after a crash: open a copy of its files, made while it was open."""
    if how == "closed":
        log.close()
    else:
        elsewhere = folder / "copy"
        elsewhere.mkdir()
        for name in ("log.db", "log.db-wal"):
            shutil.copy(folder / name, elsewhere / name)
        log.close()
        for file in folder.glob("log.db*"):
            file.unlink()
        for file in elsewhere.iterdir():
            file.rename(folder / file.name)
        elsewhere.rmdir()
    return SQLiteLog(folder / "log.db")


@patch.object(key_index, "PARTS", 4)
@patch.object(key_index, "RECORDS_A_PART", 3)
@settings(max_examples=40, deadline=None)
@given(st.lists(STEPS, max_size=25))
def test_keys_are_found_wherever_they_are(steps: list[tuple[str, object]]) -> None:
    stored: dict[str, str] = {}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        log = SQLiteLog(folder / "log.db")
        for step, what in steps:
            if step in ("list", "block"):
                events = [event(user, event_id=str(number)) for user, number in what]  # type: ignore[attr-defined]
                if step == "block":
                    log.append(block(*events)).result(9)
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
            for number, user in stored.items():
                assert log._user_of(number) == user
            for user in USERS:
                assert [one for _, one in log.events_of(user)] == [
                    one for one in kept if one.user_id == user
                ]
        log.close()


def rows(db: apsw.Connection, table: str) -> int:
    return int(db.execute(f"SELECT count(*) FROM {table}").get)


def test_keys_are_moved_in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    """With four parts, one is moved after every second record; a round that failed is repeated."""
    monkeypatch.setattr(key_index, "PARTS", 4)
    monkeypatch.setattr(key_index, "RECORDS_A_PART", 2)
    db = apsw.Connection(":memory:")
    db.execute(_SCHEMA + key_index.SCHEMA)
    index = KeyIndex(db, 0)
    coded = [encode(event(f"u{n}", event_id=str(n))) for n in range(100)]
    parts = [((one.user_key or 0) + 2**63) >> 62 for one in coded]
    db.execute("BEGIN")
    index.add(0, coded[:3])
    db.execute("ROLLBACK")
    assert rows(db, "users") == rows(db, "recent_users") == rows(db, "recent_event_ids") == 0
    for n in range(4):
        index.progress = index.add(n, coded[n : n + 1])
        assert index.progress.part == (n + 1) // 2
        moved = sum(part < (n + 1) // 2 for part in parts[: n + 1])
        assert rows(db, "users") >= moved
        assert rows(db, "users") + rows(db, "recent_users") == n + 1
    assert db.execute("SELECT value FROM meta WHERE name = 'indexed'").get == 0
    index.progress = index.add(4, coded[4:8])  # the round ends
    assert index.progress == (0, 0, 8)
    assert db.execute("SELECT value FROM meta WHERE name = 'indexed'").get == 0
    index.progress = index.add(8, coded[8:16])  # another, which moved all that were there before
    assert index.progress == (0, 0, 16)
    assert db.execute("SELECT value FROM meta WHERE name = 'indexed'").get == 8
    in_file = {key for (key,) in db.execute("SELECT user_key FROM users")}
    assert {one.user_key for one in coded[:8]} <= in_file
    index.progress = index.move_all(16)
    assert rows(db, "users") == rows(db, "event_ids") == 16
    assert rows(db, "recent_users") == rows(db, "recent_event_ids") == 0


@pytest.mark.parametrize("version", [1, 2])
def test_a_log_of_an_earlier_format_is_upgraded(tmp_path: Path, version: int) -> None:
    path = tmp_path / "log.db"
    with SQLiteLog(path) as log:
        append(log, event("a", event_id="1"), event("b"))
    db = apsw.Connection(str(path))
    if version == 1:
        db.execute("DELETE FROM meta WHERE name = 'indexed'")
    db.execute(f"ALTER TABLE event_ids DROP COLUMN offset; PRAGMA user_version = {version}")
    db.close()
    with SQLiteLog(path) as log:
        assert append(log, event("a", event_id="1"), event("a", event_id="2")).duplicates == 1
        assert [offset for offset, _ in log.events_of("a")] == [0, 2]
    db = apsw.Connection(str(path))
    assert db.execute("PRAGMA user_version").get == 3
    db.close()
    with SQLiteLog(path) as log:
        assert [log.erase_event(number).result(9) for number in "2121"] == [1, 1, 0, 0]
        assert log.events_of("a") == []


def test_an_event_is_found_by_the_index(tmp_path: Path) -> None:
    with (
        SQLiteLog(tmp_path / "log.db") as log,
        patch.object(log, "read", side_effect=AssertionError),
    ):
        append(log, event("a"), event("b", event_id="1"))
        log.append(block(event("c", event_id="2"), event("d"), event("e", event_id="3"))).result(9)
        append(log, event("f", event_id="4"))
        assert [log._user_of(number) for number in "1234"] == ["b", "c", "e", "f"]
        assert log.erase_event("3").result(9) == 1
        plan = log._tables._db.execute(f"EXPLAIN QUERY PLAN {key_index._OF_EVENT}", (b"",))
        steps = [step for *_, step in plan]
        assert sum("USING PRIMARY KEY (event_key=?)" in step for step in steps) == 2
        assert not any(step.startswith("SCAN") for step in steps)


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


def test_only_events_have_keys() -> None:
    assert keys_of(event("a")) == (user_key("a"), None)
    assert keys_of(Event(user_id="a", item_id="i", timestamp=0.0, event_id="1"))[1] is not None
