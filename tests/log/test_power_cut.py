"""Power cuts at random moments: acknowledged events are on disk, even if unsynced writes are lost.

SQLite checkpoints after every few pages here, so that cuts also happen during a checkpoint.
"""

import random
from contextlib import suppress
from pathlib import Path

import apsw
import pytest

from nearline.errors import NearlineError
from nearline.log import SQLiteLog
from nearline.log.lock import StoreLock
from nearline.log.tables import SETTINGS
from nearline.schema import Event
from nearline.testing.power_cut import LossyDisk

ROUNDS = 12
LIST = 7


def make(number: int) -> list[Event]:
    return [
        Event(user_id=f"u{n}", item_id="i", timestamp=1.0, event_id=f"{number}-{n}")
        for n in range(LIST)
    ]


def append_until_the_cut(path: Path, target: Path, disk: LossyDisk) -> set[str]:
    """Append lists, several of them queued together; return the IDs of acknowledged events.

    The file that remains after the power cut is written to `target`.
    """
    with disk:
        log = None
        futures = []
        with suppress(NearlineError, apsw.Error):
            log = SQLiteLog(path)
            for number in range(10_000):
                futures.append((number, log.append(make(number))))
                if number % 3 == 0:
                    futures[-1][1].result()
        assert disk.is_cut
        if log is not None:
            with suppress(NearlineError, apsw.Error):
                log.close()
        known = [number for number, future in futures if future.done() and not future.exception()]
    disk.cut(path, target)
    return {event.event_id or "" for number in known for event in make(number)}


def test_no_acknowledged_event_is_lost_in_a_power_cut(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(SETTINGS, "wal_autocheckpoint", 20)
    rng = random.Random(0)
    acknowledged = dropped = 0
    for round_ in range(ROUNDS):
        path, left = tmp_path / f"{round_}.db", tmp_path / f"{round_}-left.db"
        disk = LossyDisk(rng.randrange(40, 2_000), rng)
        known = append_until_the_cut(path, left, disk)
        StoreLock(path).release()  # closing failed, but released the lock
        with SQLiteLog(left) as log:
            events = [record for _, record in log.read() if isinstance(record, Event)]
        stored = [event.event_id for event in events]
        assert len(set(stored)) == len(stored)
        assert known <= set(stored)
        assert len(stored) % LIST == 0  # lists are stored atomically
        acknowledged += len(known)
        dropped += disk.dropped
    assert acknowledged > ROUNDS * LIST
    assert dropped > 0


def test_without_syncs_events_are_lost(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Check the simulated disk: without syncs, acknowledged events are lost."""
    monkeypatch.setitem(SETTINGS, "synchronous", "off")
    left = tmp_path / "left.db"
    known = append_until_the_cut(tmp_path / "log.db", left, LossyDisk(300, random.Random(1)))
    try:
        with SQLiteLog(left) as log:
            stored = {r.event_id for _, r in log.read() if isinstance(r, Event)}
    except NearlineError:
        stored = set()
    assert known - stored
