"""Append lists of events forever and send the number of each list that was acknowledged."""

import random
from collections import deque
from concurrent.futures import Future
from multiprocessing.connection import Connection
from pathlib import Path

from nearline.log import Appended, SQLiteLog
from nearline.schema import Event


def events(round_: int, number: int, size: int) -> list[Event]:
    return [
        Event(
            user_id=f"u{number % 7}",
            item_id=f"i{part}",
            timestamp=float(number),
            event_id=f"{round_}/{number}/{part}/{size}",
        )
        for part in range(size)
    ]


def ingest(path: Path, round_: int, acknowledged: Connection) -> None:
    """Append to the log at `path`; the event IDs contain the round."""
    rng = random.Random(round_)
    log = SQLiteLog(path)
    waiting: deque[tuple[int, Future[Appended]]] = deque()
    number = 0
    while True:
        # A few at a time, so that some are queued, some half written and some acknowledged.
        while len(waiting) < 8:
            batch = events(round_, number, rng.randrange(1, 6))
            waiting.append((number, log.append(batch)))
            if rng.random() < 0.2:  # a client that is not sure sends again
                waiting.append((number, log.append(batch)))
            number += 1
        known, future = waiting.popleft()
        future.result()
        acknowledged.send(known)
