"""Durability after `kill -9` and power failures: acknowledged events are stored exactly once.

    python -m benchmarks.crash --kills 500 --servers 20 --cuts 100

Rows of kills: a process ingests lists of events with IDs and reports each acknowledgement, while it
repeats the operation that the row names. It is killed at a random moment; opening the store is
timed, and its log is compared with the acknowledgements. The row of the server does the same over
HTTP with `nearline serve`. Rows of power failures: the log writes to a simulated disk that loses
unsynced writes (`nearline.testing.power_cut`), and is opened from the surviving files.
"""

import argparse
import json
import multiprocessing
import random
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from http.client import HTTPConnection, HTTPException
from multiprocessing.connection import Connection
from pathlib import Path
from threading import Thread
from typing import Any

import apsw
import pyarrow as pa
from benchmarks import machine

import nearline as nl
from nearline.bench.harness import Server
from nearline.errors import Damaged, NearlineError
from nearline.jobs.queue import Job
from nearline.log import SQLiteLog
from nearline.log.tables import SETTINGS
from nearline.testing.power_cut import LossyDisk

LIST = 20
ITEMS = 40
# Rounds on one store before a new store is created.
ROUNDS_A_STORE = 50
# Seconds; operations in a separate process take longer to start.
LONGEST_LIFE = {"checkpoint": 2.0, "merge": 2.5}
# Pages in the write-ahead log before a checkpoint: few, so that power failures hit checkpoints too.
WRITE_BACK_PAGES = 20

Events = list[dict[str, Any]]


@dataclass
class Tally:
    """Counts over the rounds of one row."""

    rounds: int = 0
    acknowledged: int = 0
    lost: int = 0
    twice: int = 0
    torn: int = 0
    seconds: list[float] = field(default_factory=list)

    def check(self, acknowledged: set[str], stored: Counter[str]) -> None:
        """Compare the acknowledged lists with the events in the log."""
        ids = {event_id for name in acknowledged for event_id in ids_of(name)}
        lists = Counter(event_id.rpartition("/")[0] for event_id in stored)
        self.rounds += 1
        self.acknowledged += len(ids)
        self.lost += len(ids - stored.keys())
        self.twice += sum(count > 1 for count in stored.values())
        self.torn += sum(count != LIST for count in lists.values())

    def row(self, name: str) -> dict[str, Any]:
        """Return the row of the table."""
        row: dict[str, Any] = {"name": name, "rounds": self.rounds}
        row |= {"acknowledged": self.acknowledged, "lost": self.lost, "twice": self.twice}
        row |= {"torn_lists": self.torn}
        return row | ({"seconds_to_open": machine.spread(self.seconds)} if self.seconds else {})


def ids_of(name: str) -> list[str]:
    return [f"{name}/{step}" for step in range(LIST)]


def events_of(name: str) -> Events:
    return [
        {"user_id": name, "item_id": f"item-{(len(name) * 7 + step) % ITEMS}", "event_id": event_id}
        for step, event_id in enumerate(ids_of(name))
    ]


def stored_in(path: Path, start: int = 0) -> tuple[Counter[str], int]:
    """Return the count of each event ID in a log from an offset on, and the end of the log."""
    with SQLiteLog(path) as log:
        found = Counter(
            record.event_id or ""
            for _, record in log.read(start)
            if isinstance(record, nl.Event) and (record.event_id or "").startswith("round")
        )
        return found, log.end


# Operations that the child process repeats while it ingests.


def nothing(_rec: nl.Recommender) -> None:
    """Only ingest."""


def checkpoint(rec: nl.Recommender) -> None:
    """Write checkpoints repeatedly."""
    while True:
        wait_for(rec, rec.checkpoint())


def merge(rec: nl.Recommender) -> None:
    """Merge online updates into new snapshots repeatedly."""
    while True:
        wait_for(rec, rec.merge())


def wait_for(rec: nl.Recommender, job: Job) -> None:
    while rec.jobs.get(job.id).finished is None:
        time.sleep(0.002)


def train(rec: nl.Recommender) -> None:
    """Train, write the snapshot, promote it and remove old ones, repeatedly."""
    for seed in range(1_000_000):
        rec.fit(seed=seed)


def promote(rec: nl.Recommender) -> None:
    """Promote both snapshots in turn and roll back, repeatedly."""
    while True:
        for entry in rec.versions.list():
            rec.versions.promote(entry.id)
        rec.versions.rollback()


BESIDE: dict[str, Callable[[nl.Recommender], None]] = {
    "ingest": nothing,
    "checkpoint": checkpoint,
    "merge": merge,
    "training, snapshot": train,
    "promotion": promote,
}


def settings() -> nl.Config:
    return nl.Config(settings={"search": {"evaluations": 0}})


def ingest_until_killed(store: Path, number: int, beside: str, reports: Connection) -> None:
    """Ingest lists in an endless loop; report each acknowledgement."""
    with nl.Recommender(store, config=settings()) as rec:
        Thread(target=BESIDE[beside], args=(rec,), daemon=True).start()
        for batch in range(1_000_000):
            name = f"round{number}-{batch}"
            events = [nl.Event(timestamp=1.0, **event) for event in events_of(name)]
            rec.append_events(events).result()
            reports.send_bytes(name.encode())


def received_names(reports: Connection) -> set[str]:
    names: set[str] = set()
    with suppress(EOFError):
        while reports.poll():
            names.add(reports.recv_bytes().decode())
    return names


def kills(beside: str, rounds: int, folder: Path, rng: random.Random) -> dict[str, Any]:
    """Kill an ingesting process repeatedly."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["nearline.engine"])
    tally = Tally()
    for number in range(rounds):
        store = folder / f"{beside.replace(', ', '-')}-{number // ROUNDS_A_STORE}"
        if number % ROUNDS_A_STORE == 0:
            make_store(store)
            _, end = stored_in(store / "log.db")
        ours, theirs = context.Pipe(duplex=False)
        child = context.Process(target=ingest_until_killed, args=(store, number, beside, theirs))
        child.start()
        theirs.close()
        ours.poll(60)  # until the first acknowledgement: the store is open
        time.sleep(rng.uniform(0.0, LONGEST_LIFE.get(beside, 0.3)))
        child.kill()
        child.join()
        acknowledged = received_names(ours)
        ours.close()
        begin = time.perf_counter()
        rec = nl.Recommender(store, config=settings())
        tally.seconds.append(time.perf_counter() - begin)
        behind = rec.offset
        rec.close()
        stored, end_now = stored_in(store / "log.db", end)
        tally.check(acknowledged, stored)
        tally.lost += end_now - behind  # records that the state has not applied
        end = end_now
    return tally.row(f"kill -9, {beside}")


def make_store(store: Path) -> None:
    """Create a store with two snapshots."""
    table = pa.table(
        {
            "user_id": [f"u{n // 6}" for n in range(300)],
            "item_id": [f"item-{(n * 7 + n // 6) % ITEMS}" for n in range(300)],
            "timestamp": [float(n) for n in range(300)],
        }
    )
    with nl.Recommender(store, config=settings()) as rec:
        rec.fit(table)
        rec.observe("u1", "item-1", timestamp=400.0)
        rec.fit()


def server_kills(rounds: int, folder: Path, rng: random.Random) -> dict[str, Any]:
    """Kill `nearline serve` while a client writes to it."""
    store, tally, end = folder / "served", Tally(), 0
    make_store(store)
    _, end = stored_in(store / "log.db")
    for number in range(rounds):
        acknowledged: set[str] = set()
        with Server.of(store) as server:
            if number:  # the first start does not follow a crash
                tally.seconds.append(server.ready_seconds)
            client = Thread(target=post_until_refused, args=(server.port, number, acknowledged))
            client.start()
            time.sleep(rng.uniform(0.02, 0.5))
            server.kill()
            client.join()
        stored, end = stored_in(store / "log.db", end)
        tally.check(acknowledged, stored)
    return tally.row("kill -9 of the server, client over HTTP")


def post_until_refused(port: int, number: int, acknowledged: set[str]) -> None:
    connection = HTTPConnection("127.0.0.1", port)
    headers = {"content-type": "application/json"}
    with suppress(OSError, HTTPException):
        for batch in range(1_000_000):
            name = f"round{number}-{batch}"
            connection.request("POST", "/v1/events", json.dumps(events_of(name)), headers)
            answer = connection.getresponse()
            answer.read()
            if answer.status == 200:
                acknowledged.add(name)
    connection.close()


def cuts(rounds: int, folder: Path, rng: random.Random) -> dict[str, Any]:
    """Simulate power failures of a log on a disk that loses unsynced writes."""
    tally, dropped = Tally(), 0
    SETTINGS["wal_autocheckpoint"] = WRITE_BACK_PAGES
    for number in range(rounds):
        path, left = folder / f"cut-{number}.db", folder / f"left-{number}.db"
        disk = LossyDisk(rng.randrange(40, 4_000), rng)
        acknowledged = append_until_cut(path, disk, number)
        disk.cut(path, left)
        dropped += disk.dropped
        begin = time.perf_counter()
        try:
            SQLiteLog(left).close()
            stored, _ = stored_in(left)
        except Damaged:  # a log that cannot be read has lost all its events
            stored = Counter()
        tally.seconds.append(time.perf_counter() - begin)
        tally.check(acknowledged, stored)
        path.unlink()
    return tally.row("power cut, unsynced writes dropped") | {"writes_dropped": dropped}


def append_until_cut(path: Path, disk: LossyDisk, number: int) -> set[str]:
    futures = {}
    log = None
    with disk:
        with suppress(NearlineError, apsw.Error):
            log = SQLiteLog(path)
            for batch in range(1_000_000):
                name = f"round{number}-{batch}"
                events = [nl.Event(timestamp=1.0, **event) for event in events_of(name)]
                futures[name] = log.append(events)
                if batch % 3 == 0:  # some lists wait together
                    futures[name].result()
        if log is not None:
            with suppress(NearlineError, apsw.Error):
                log.close()
    return {n for n, future in futures.items() if future.done() and not future.exception()}


def print_table(rows: list[dict[str, Any]]) -> None:
    print(
        f"{'':42}{'rounds':>8}{'acknowledged':>14}{'lost':>6}{'twice':>7}{'torn':>6}{'open, s':>18}"
    )
    for row in rows:
        opened = row.get("seconds_to_open")
        shown = f"{opened['median']:.3f} (<= {opened['max']:.3f})" if opened else ""
        counts = f"{row['lost']:>6}{row['twice']:>7}{row['torn_lists']:>6}"
        print(f"{row['name']:42}{row['rounds']:>8}{row['acknowledged']:>14,}{counts}{shown:>18}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--kills", type=int, default=500, help="over the rows of kills")
    parser.add_argument("--servers", type=int, default=20, help="kills of a server")
    parser.add_argument("--cuts", type=int, default=100, help="power cuts")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    rng = random.Random(options.seed)
    rows = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for beside in BESIDE:
            rows.append(kills(beside, -(-options.kills // len(BESIDE)), folder, rng))
            print_table(rows[-1:])
        rows.append(server_kills(options.servers, folder, rng))
        rows.append(cuts(options.cuts, folder, rng))
    print_table(rows)
    print(f"written to {machine.write('crash', vars(options), rows)}")


if __name__ == "__main__":
    main()
