"""After `kill -9`, the log has every acknowledged list once and complete."""

import random
import subprocess
import sys
from contextlib import suppress
from itertools import groupby
from pathlib import Path

from nearline.log import SQLiteLog
from nearline.schema import Event, Record

ROUNDS = 30
CHILD = Path(__file__).with_name("ingest_until_killed.py")


def ingest_and_kill(path: Path, round_: int) -> list[int]:
    """Run the child process and kill it at random; return the lists that it acknowledged."""
    rng = random.Random(round_)
    with subprocess.Popen(
        [sys.executable, str(CHILD), str(path), str(round_)], stdout=subprocess.PIPE, text=True
    ) as child:
        assert child.stdout
        lines = []
        if round_ % 2:  # at a random time, perhaps before or while it opens the log
            with suppress(subprocess.TimeoutExpired):
                child.wait(timeout=rng.uniform(0.0, 0.3))
        else:  # after a random number of acknowledgements
            lines = [child.stdout.readline() for _ in range(rng.randrange(1, 200))]
        assert child.poll() is None
        child.kill()
        lines += child.stdout.readlines()
    # A truncated line was not an acknowledgement.
    return [int(line) for line in lines if line.endswith("\n")]


def check_round(round_: int, records: list[Record], acknowledged: list[int]) -> None:
    ids = [r.event_id.split("/") for r in records if isinstance(r, Event) and r.event_id]
    assert {key[0] for key in ids} <= {str(round_)}
    lists = [(int(number), list(keys)) for number, keys in groupby(ids, key=lambda key: key[1])]
    # Lists are in order; the log ends after one of them, and none is missing or duplicate.
    assert [number for number, _ in lists] == list(range(len(lists)))
    for _, keys in lists:
        assert [int(part) for _, _, part, _ in keys] == list(range(int(keys[0][3])))
    assert set(acknowledged) <= set(range(len(lists)))


def test_no_acknowledged_event_is_lost_when_the_process_is_killed(tmp_path: Path) -> None:
    path = tmp_path / "log.db"
    stored: list[tuple[int, Record]] = []
    acknowledged = 0
    for round_ in range(ROUNDS):
        numbers = ingest_and_kill(path, round_)
        acknowledged += len(numbers)
        with SQLiteLog(path) as log:
            new = list(log.read(len(stored)))
            assert log.end == len(stored) + len(new)
        check_round(round_, [record for _, record in new], numbers)
        stored += new
    with SQLiteLog(path) as log:
        assert list(log.read()) == stored
    assert [offset for offset, _ in stored] == list(range(len(stored)))
    ids = [record.event_id for _, record in stored if isinstance(record, Event)]
    assert len(set(ids)) == len(ids) == len(stored)
    assert acknowledged > ROUNDS
