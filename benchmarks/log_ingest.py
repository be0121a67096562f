"""Events per second that the log appends, compared with plain SQLite in the same run.

    python -m benchmarks.log_ingest --repeats 5

Each row appends the same events in lists of one size and waits for the acknowledgement of each
list; the row with writers has eight such clients at once. The limit is `executemany` of apsw into
one table with a unique event ID, with the same SQLite settings, encoded payloads, and one
transaction per list. The difference is what the log does in addition: encoding, hashing, the
duplicate check, the index by user, and the queue between threads.
"""

import argparse
import tempfile
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from pathlib import Path
from typing import Any

import apsw
import msgspec
from benchmarks import machine

from nearline.log import SQLiteLog
from nearline.log.tables import SETTINGS
from nearline.schema import Event

Lists = list[list[Event]]
WRITERS = 8


def make_events(count: int) -> list[Event]:
    """Return events of a thousandth as many users, with event IDs in random order."""
    users = max(1, count // 1_000)
    return [
        Event(
            user_id=f"user-{n * 7919 % users}",
            item_id=f"item-{n * 104_729 % 20_000}",
            timestamp=1.7e9 + n,
            event_id=f"{n * 2_654_435_761 % 2**32:08x}",
        )
        for n in range(count)
    ]


def in_lists(events: Sequence[Event], size: int) -> Lists:
    """Cut `events` into lists of `size`."""
    rest = iter(events)
    return [list(islice(rest, size)) for _ in range(0, len(events), size)]


def seconds_of_log(path: Path | None, lists: Lists) -> float:
    """Append list after list, waiting for each."""
    with SQLiteLog(path) as log:
        start = time.perf_counter()
        for batch in lists:
            log.append(batch).result()
        return time.perf_counter() - start


def seconds_of_writers(path: Path | None, lists: Lists) -> float:
    """Append from several threads, each waiting for each of its lists."""

    def client(mine: Lists) -> None:
        for batch in mine:
            log.append(batch).result()

    with SQLiteLog(path) as log, ThreadPoolExecutor(WRITERS) as pool:
        start = time.perf_counter()
        list(pool.map(client, [lists[n::WRITERS] for n in range(WRITERS)]))
        return time.perf_counter() - start


def seconds_of_sqlite(path: Path | None, lists: Lists) -> float:
    """Insert list after list with SQLite alone."""
    encode = msgspec.msgpack.Encoder().encode
    numbers = iter(range(10**9))
    rows = [[(next(numbers), event.event_id, encode(event)) for event in batch] for batch in lists]
    db = apsw.Connection(str(path) if path else ":memory:")
    db.pragma("journal_mode", "wal")
    for name, value in SETTINGS.items():
        db.pragma(name, value)
    db.execute("CREATE TABLE log (offset INTEGER PRIMARY KEY, event_id TEXT UNIQUE, payload BLOB)")
    start = time.perf_counter()
    for batch in rows:
        with db:
            db.executemany("INSERT INTO log VALUES (?, ?, ?)", batch)
    seconds = time.perf_counter() - start
    db.close()
    return seconds


def compare(
    name: str,
    measure: Callable[[Path | None, Lists], float],
    lists: Lists,
    *,
    durable: bool,
    repeats: int,
) -> dict[str, Any]:
    """Return the events per second of the log and of SQLite alone, measured in turn."""
    count = sum(map(len, lists))
    log: list[float] = []
    limit: list[float] = []
    for _ in range(repeats):
        for rates, run in ((log, measure), (limit, seconds_of_sqlite)):
            with tempfile.TemporaryDirectory() as folder:
                path = Path(folder) / "log.db" if durable else None
                rates.append(count / run(path, lists))
    ratios = [mine / bare for mine, bare in zip(log, limit, strict=True)]
    return {
        "name": name,
        "events": count,
        "events_a_second": machine.spread(log),
        "sqlite_events_a_second": machine.spread(limit),
        "ratio": machine.spread(ratios),
    }


def run(count: int, repeats: int) -> list[dict[str, Any]]:
    """Measure all rows of the table."""
    events = make_events(count)
    few = events[: max(1, count // 50)]
    plan: list[tuple[str, Callable[[Path | None, Lists], float], Lists, bool]] = [
        ("memory, lists of 10,000", seconds_of_log, in_lists(events, 10_000), False),
        ("file, lists of 1,000", seconds_of_log, in_lists(events, 1_000), True),
        ("file, lists of 100", seconds_of_log, in_lists(events, 100), True),
        ("file, single events", seconds_of_log, in_lists(few, 1), True),
        (f"file, single events, {WRITERS} writers", seconds_of_writers, in_lists(few, 1), True),
    ]
    return [
        compare(name, measure, lists, durable=durable, repeats=repeats)
        for name, measure, lists, durable in plan
    ]


def print_table(rows: Sequence[dict[str, Any]]) -> None:
    """Print medians with the smallest and largest value."""
    print(f"{'':35}{'log, events/s':>28}{'SQLite alone, events/s':>28}{'ratio':>20}")
    for row in rows:
        cells = [
            f"{s['median']:,.{d}f} ({s['min']:,.{d}f}-{s['max']:,.{d}f})"
            for s, d in (
                (row["events_a_second"], 0),
                (row["sqlite_events_a_second"], 0),
                (row["ratio"], 2),
            )
        ]
        print(f"{row['name']:35}{cells[0]:>28}{cells[1]:>28}{cells[2]:>20}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--events", type=int, default=100_000, help="events of the longest rows")
    parser.add_argument("--repeats", type=int, default=5, help="runs of each row")
    options = parser.parse_args()
    rows = run(options.events, options.repeats)
    print_table(rows)
    print(f"written to {machine.write('log_ingest', vars(options), rows)}")


if __name__ == "__main__":
    main()
