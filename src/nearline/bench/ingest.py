"""Scenario: durable storage of events from lists, from single events and from a file."""

import time
from pathlib import Path

import apsw
import msgspec
import pyarrow.parquet as pq

from nearline.bench.generate import ask, no_failure
from nearline.bench.harness import Server, python, run_command
from nearline.bench.plan import Figure, Plan, ScenarioReport, figure, repeated
from nearline.bench.shop import store, write_events

LIST = 100
# Concurrent clients that each wait for an acknowledgement, so that the server groups commits.
SINGLE_CONNECTIONS = 64
LISTS_RATE, SINGLE_RATE, IMPORT_RATE = 25_000.0, 4_000.0, 200_000.0
LIMIT_SECONDS = 2.0


def run(plan: Plan) -> ScenarioReport:
    """Measure the events per second that HTTP, ``nearline import`` and plain SQLite store."""
    path = plan.folder / "import.parquet"
    write_events(path, plan)
    with Server.of(store(plan, "ingest")) as server:
        names = iter(range(2 * plan.repeats + 2))

        def measure() -> list[Figure]:
            lists = ask(plan, server.port, "lists", size=LIST, name=f"lists{next(names)}")
            several = max(plan.connections, SINGLE_CONNECTIONS)
            name = f"single{next(names)}"
            single = ask(plan, server.port, "single", connections=several, name=name)
            sent, one = no_failure(lists)["list"], no_failure(single)["event"]
            lists_rate = LIST * sent["count"] / lists["seconds"]
            single_rate = one["count"] / single["seconds"]
            limit, single_limit = bare_sqlite(plan, LIST), bare_sqlite(plan, 1)
            unit = "events/s"
            return [
                figure(f"lists of {LIST}", unit, lists_rate, at_least=LISTS_RATE),
                figure(f"lists of {LIST}, bare SQLite", unit, limit),
                figure(f"lists of {LIST}, share of it", "", lists_rate / limit),
                figure(f"lists of {LIST}, p99", "ms", sent["ms"]["p99"]),
                figure(
                    f"single events, {several} connections", unit, single_rate, at_least=SINGLE_RATE
                ),
                figure("single events, bare SQLite", unit, single_limit),
                figure("single events, share of it", "", single_rate / single_limit),
                figure("single events, p99", "ms", one["ms"]["p99"]),
            ]

        figures = repeated(plan, "ingest over HTTP", measure)
    figures += repeated(plan, "import", lambda: [_import(plan, path)])
    notes = [
        "events have ids and are acknowledged once durable; bare SQLite is apsw's executemany into "
        "one table with a unique id, write-ahead, synchronous=FULL, one transaction a list",
        "import is the time of the whole command, into a new store",
    ]
    return ScenarioReport(figures=figures, notes=notes)


def _import(plan: Plan, path: Path) -> Figure:
    fresh = plan.folder / f"import-{time.perf_counter_ns()}"
    begin = time.perf_counter()
    run_command(python("nearline.cli", "import", "--store", fresh, path, "--json"))
    seconds = time.perf_counter() - begin
    count = pq.read_metadata(path).num_rows
    return figure("import of a Parquet file", "events/s", count / seconds, at_least=IMPORT_RATE)


def bare_sqlite(plan: Plan, size: int) -> float:
    """Return the events per second that SQLite alone commits in transactions of `size` events."""
    path = plan.folder / f"limit-{time.perf_counter_ns()}.db"
    db = apsw.Connection(str(path))
    db.pragma("journal_mode", "wal")
    db.pragma("synchronous", "full")
    db.execute("CREATE TABLE log (offset INTEGER PRIMARY KEY, event_id TEXT UNIQUE, payload BLOB)")
    payload = msgspec.msgpack.encode({"user_id": "u12345", "item_id": "i12345", "event": "view"})
    begin, stored = time.perf_counter(), 0
    while time.perf_counter() - begin < min(plan.seconds, LIMIT_SECONDS):
        rows = [
            (n, f"{n * 2_654_435_761 % 2**32:08x}", payload) for n in range(stored, stored + size)
        ]
        with db:
            db.executemany("INSERT INTO log VALUES (?, ?, ?)", rows)
        stored += size
    rate = stored / (time.perf_counter() - begin)
    db.close()
    return rate
