"""A conversion of a log of an earlier format that is killed loses nothing and goes on."""

import random
import shutil
from pathlib import Path

import apsw
from tests.forking import forks
from tests.log.convert_until_killed import convert
from tests.log.test_run_index import as_format

from nearline.log import SQLiteLog
from nearline.schema import Event

KILLS, USERS, EVENTS = 20, 9, 900
# Kills come within this time after the beginning, which grows until the conversion ends before it.
SECONDS = 0.004


def old_log(folder: Path) -> list[Event]:
    folder.mkdir()
    path = folder / "log.db"
    events = [
        Event(user_id=f"u{n % USERS}", item_id=f"i{n % 7}", timestamp=float(n), event_id=f"e{n}")
        for n in range(EVENTS)
    ]
    with SQLiteLog(path) as log:
        log.append(events).result()
    as_format(path, 3, EVENTS)
    return events


def format_of(path: Path) -> object:
    db = apsw.Connection(str(path), flags=apsw.SQLITE_OPEN_READONLY)
    try:
        return db.pragma("user_version")
    finally:
        db.close()


def check(path: Path, events: list[Event]) -> None:
    with SQLiteLog(path) as log:
        assert [record for _, record in log.read()] == events
        assert log.known([f"e{n}" for n in range(EVENTS)]) == [True] * EVENTS
        for user in range(USERS):
            expected = [(n, event) for n, event in enumerate(events) if n % USERS == user]
            assert log.events_of(f"u{user}") == expected
        assert log.append(events[:3]).result().duplicates == 3


def test_a_conversion_that_is_killed_at_random_moments(tmp_path: Path) -> None:
    old, store = tmp_path / "old", tmp_path / "store"
    events = old_log(old)
    context = forks()
    rng, within, killed, whole = random.Random(7), SECONDS, 0, 0
    shutil.copytree(old, store)
    while killed < KILLS:
        ours, theirs = context.Pipe(duplex=False)
        child = context.Process(target=convert, args=(store / "log.db", theirs))
        child.start()
        theirs.close()
        assert ours.recv() == "begin"
        if not ours.poll(rng.uniform(0.0, within)):
            child.kill()
            killed += 1
        child.join()
        ours.close()
        within *= 1.3
        if format_of(store / "log.db") == 4:
            check(store / "log.db", events)
            shutil.rmtree(store)
            shutil.copytree(old, store)
            whole, within = whole + 1, SECONDS
    check(store / "log.db", events)
    assert whole or format_of(store / "log.db") == 4
