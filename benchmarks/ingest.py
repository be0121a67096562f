"""Durable events per second, end to end: HTTP lists, single HTTP events, and a Parquet file.

    python -m benchmarks.ingest --repeats 3

HTTP: `nearline serve` runs in a process of its own. Each connection waits for every answer. The
clients share the cores with the server. The server answers when the events are durable and applied
to the state. File: `Recommender.add`, from opening the file until all rows are in log and state.
Each figure is compared with SQLite alone, with the same rows in transactions of the same size (see
`log_ingest`).
"""

import argparse
import asyncio
import json
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from benchmarks import machine
from benchmarks.log_ingest import Lists, in_lists, make_events, seconds_of_sqlite
from pyarrow import parquet

import nearline as nl
from nearline.data.events import BLOCK

LISTS, SINGLES = 8, 32  # connections


def write_file(path: Path, rows: int) -> None:
    """Write skewed views, carts and purchases of a tenth as many users, in the order of time."""
    rng = np.random.default_rng(0)
    users = (rng.pareto(1.0, rows) * rows / 200).astype(np.int64) % max(1, rows // 10)
    items = (rng.pareto(1.0, rows) * 300).astype(np.int64) % 30_000
    table = {
        "user_id": pa.array([f"user-{user}" for user in users.tolist()]),
        "item_id": pa.array([f"item-{item}" for item in items.tolist()]),
        "timestamp": np.sort(rng.uniform(1.6e9, 1.7e9, rows)),
        "event": rng.choice(["view", "cart", "purchase"], rows, p=[0.8, 0.15, 0.05]),
    }
    parquet.write_table(pa.table(table), path)


def rate_of_import(rows: int) -> float:
    """Return the events per second of one import into a new store."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "events.parquet"
        write_file(file, rows)
        with nl.Recommender(Path(folder) / "store") as rec:
            # Compile before the measurement.
            rec.add(pa.table({"user_id": ["a"], "item_id": ["b"], "timestamp": [1.0]}))
            start = time.perf_counter()
            rec.add(file)
            seconds = time.perf_counter() - start
            return (rec.offset - 1) / seconds


def bodies(lists: Sequence[Sequence[nl.Event]]) -> list[bytes]:
    """Return the JSON of each list; a list of one event is encoded as the event."""
    found = []
    for events in lists:
        rows = [
            {
                "user_id": event.user_id,
                "item_id": event.item_id,
                "timestamp": event.timestamp,
                "event_id": event.event_id,
            }
            for event in events
        ]
        found.append(json.dumps(rows if len(rows) > 1 else rows[0]).encode())
    return found


async def client(port: int, mine: Sequence[bytes]) -> None:
    """Send the bodies, waiting for each answer before sending the next body."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    for body in mine:
        writer.write(
            b"POST /v1/events HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
            b"Content-Length: %d\r\n\r\n%b" % (len(body), body)
        )
        head = await reader.readuntil(b"\r\n\r\n")
        if not head.startswith(b"HTTP/1.1 200"):
            raise RuntimeError(f"the server answered {head!r:.200}")
        length = head.lower().split(b"content-length:", 1)[1].split(b"\r\n", 1)[0]
        await reader.readexactly(int(length))
    writer.close()


async def send_all(port: int, sent: Sequence[bytes], connections: int) -> float:
    """Return the seconds until every body is answered."""
    start = time.perf_counter()
    await asyncio.gather(*(client(port, sent[at::connections]) for at in range(connections)))
    return time.perf_counter() - start


async def wait_until_ready(port: int) -> None:
    """Wait until the server has opened its store."""
    answer = b""
    while not answer.startswith(b"HTTP/1.1 200"):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"GET /readyz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
        answer = await reader.read()
        writer.close()


def rate_over_http(lists: Sequence[Sequence[nl.Event]], connections: int) -> float:
    """Return the events per second of a new server; the first lists are not counted."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    warm, timed = bodies(lists[:connections]), bodies(lists[connections:])
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "nearline.cli", "serve", "--store", f"{folder}/store"]
        server = subprocess.Popen(
            [*command, "--port", str(port)], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
        )
        try:
            assert server.stdout is not None
            server.stdout.readline()  # the server listens
            asyncio.run(wait_until_ready(port))
            asyncio.run(send_all(port, warm, connections))
            seconds = asyncio.run(send_all(port, timed, connections))
        finally:
            server.terminate()
            server.wait()
    return sum(map(len, lists[connections:])) / seconds


def rate_of_sqlite(lists: Sequence[list[nl.Event]]) -> float:
    """Return the events per second of SQLite alone, in a file."""
    with tempfile.TemporaryDirectory() as folder:
        seconds = seconds_of_sqlite(Path(folder) / "log.db", list(lists))
    return sum(map(len, lists)) / seconds


def run(rows: int, events: int, singles: int, repeats: int) -> list[dict[str, Any]]:
    """Measure all rows of the table."""
    made = make_events(events)
    by_hundred, one_by_one = in_lists(made, 100), in_lists(made[:singles], 1)
    plan: list[tuple[str, Callable[[], float], Lists]] = [
        ("import from Parquet", lambda: rate_of_import(rows), in_lists(made, BLOCK)),
        (f"HTTP, lists of 100, {LISTS}", lambda: rate_over_http(by_hundred, LISTS), by_hundred),
        (f"HTTP, one by one, {SINGLES}", lambda: rate_over_http(one_by_one, SINGLES), one_by_one),
    ]
    found = []
    for name, measure, lists in plan:
        rates = [(measure(), rate_of_sqlite(lists)) for _ in range(repeats)]
        mine = machine.spread([rate for rate, _ in rates])
        bare = machine.spread([rate for _, rate in rates])
        ratio = machine.spread([rate / limit for rate, limit in rates])
        found.append(
            {
                "name": name,
                "events_a_second": mine,
                "sqlite_events_a_second": bare,
                "ratio": ratio,
            }
        )
        print(
            f"{name:30}{mine['median']:>12,.0f} events/s{bare['median']:>14,.0f} SQLite alone",
            flush=True,
        )
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--rows", type=int, default=1_000_000, help="rows of the file")
    parser.add_argument("--events", type=int, default=200_000, help="events sent in lists")
    parser.add_argument("--singles", type=int, default=20_000, help="events sent one by one")
    parser.add_argument("--repeats", type=int, default=3, help="runs of each row")
    options = parser.parse_args()
    rows = run(options.rows, options.events, options.singles, options.repeats)
    print(f"written to {machine.write('ingest', vars(options), rows)}")


if __name__ == "__main__":
    main()
