"""Repeated `kill -9` during ingest: acknowledged events are stored once, answers are unchanged."""

import json
import random
import time
from collections import Counter
from multiprocessing.connection import Connection
from pathlib import Path

import pyarrow as pa
from tests.deployment.test_live import counted, expected
from tests.forking import forks

import nearline as nl
from nearline.log import SQLiteLog
from nearline.testing.inspector import inspect

ROUNDS = 15
NOW = 1_000_000.0
LIST = 20

Lines = list[tuple[str, float, str]]


def clock() -> float:
    return NOW


def lines_of(rec: nl.Recommender, user: str) -> Lines:
    return [(line.item_id, line.score, line.tier) for line in rec.recommend(user, k=4)]


def ingest(store: Path, number: int, acknowledged: Connection) -> None:
    """Ingest lists until killed; after each acknowledgement, send the user, offset and list."""
    with nl.Recommender(store, clock=clock) as rec:
        batch = 0
        while True:
            user = f"user-{number}-{batch}"
            events = [
                nl.Event(
                    user_id=user,
                    item_id=f"item-{(batch + step) % 40}",
                    timestamp=float(step),
                    event_id=f"{user}-{step}",
                )
                for step in range(LIST)
            ]
            rec.append_events(events).result()
            if batch % 7 == 0:
                rec.put_item(f"item-{number}-{batch}", text=f"thing {batch % 5} of {number}")
            message = [user, rec.offset, lines_of(rec, user)]
            acknowledged.send_bytes(json.dumps(message).encode())
            batch += 1


def messages(acknowledged: Connection) -> list[tuple[str, int, Lines]]:
    """Return everything that the killed process sent."""
    found = []
    try:
        while acknowledged.poll():
            user, offset, lines = json.loads(acknowledged.recv_bytes())
            found.append((user, offset, [tuple(line) for line in lines]))
    except EOFError:
        return found
    return found


def test_no_acknowledged_event_is_lost_or_duplicated(tmp_path: Path) -> None:
    store = tmp_path / "shop"
    trained = pa.table(
        {
            "user_id": [f"u{n // 6}" for n in range(300)],
            "item_id": [f"item-{(n * 7 + n // 6) % 40}" for n in range(300)],
            "timestamp": [float(n) for n in range(300)],
        }
    )
    with nl.Recommender(store, clock=clock) as rec:
        rec.fit(trained)
    context, chance = forks(), random.Random(0)
    acknowledged: set[str] = set()
    for number in range(ROUNDS):
        ours, theirs = context.Pipe(duplex=False)
        process = context.Process(target=ingest, args=(store, number, theirs))
        process.start()
        theirs.close()
        assert ours.poll(60), "the process never acknowledged anything"
        time.sleep(chance.uniform(0.0, 0.08))
        process.kill()
        process.join()
        rounds = messages(ours)
        ours.close()
        acknowledged.update(user for user, _, _ in rounds)
        with nl.Recommender(store, clock=clock) as rec:
            last_user, offset, before = rounds[-1]
            # Events may have become durable after the last message, and changed the model.
            if rec.offset == offset:
                assert lines_of(rec, last_user) == before
            assert counted(inspect(rec).model) == expected(rec)
            assert len(rec.user(last_user).history) == LIST
    log = SQLiteLog(store / "log.db")
    offsets, events = [], Counter[str]()
    for offset, record in log.read():
        offsets.append(offset)
        if isinstance(record, nl.Event) and record.user_id.startswith("user-"):
            events[record.event_id or ""] += 1
    log.close()
    assert offsets == list(range(len(offsets)))
    assert set(events.values()) == {1}
    lost = {f"{user}-{step}" for user in acknowledged for step in range(LIST)} - set(events)
    assert not lost
    assert len(acknowledged) >= ROUNDS
