"""After `kill -9`, the log has every acknowledged list once and complete."""

import random
from contextlib import suppress
from itertools import groupby
from multiprocessing.context import ForkServerContext
from pathlib import Path

from tests.forking import forks
from tests.log.ingest_until_killed import ingest

from nearline.log import SQLiteLog
from nearline.schema import Event, Record

ROUNDS = 16


def ingest_and_kill(context: ForkServerContext, path: Path, round_: int) -> list[int]:
    """Run a child process and kill it at random; return the lists that it acknowledged."""
    rng = random.Random(round_)
    ours, theirs = context.Pipe(duplex=False)
    child = context.Process(target=ingest, args=(path, round_, theirs))
    child.start()
    theirs.close()
    lists = []
    if round_ % 2:  # at a random time, perhaps before or while it opens the log
        child.join(rng.uniform(0.0, 0.1))
    else:  # after a random number of acknowledgements
        lists = [ours.recv() for _ in range(rng.randrange(1, 200))]
    assert child.exitcode is None
    child.kill()
    child.join()
    with suppress(EOFError):
        while True:
            lists.append(ours.recv())
    ours.close()
    return lists


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
    context = forks()
    stored: list[tuple[int, Record]] = []
    acknowledged = 0
    for round_ in range(ROUNDS):
        numbers = ingest_and_kill(context, path, round_)
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
