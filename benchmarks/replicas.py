"""Servers that share a log in PostgreSQL: speed, lag, and what is left after faults.

    python -m benchmarks.replicas [NAME ...] [--times N]

ingest      events per second in lists of 100, and one by one from 64 clients
lag         time from sending an event until 3 followers have it, at 2,000 events per second
kills       N times kill -9 of PostgreSQL with 3 writers: lost, double, longest gap
failovers   N times kill -9 of the primary, and promotion of its synchronous standby
frozen      N times a writer that does not run for 2 seconds: the longest gap of another
tokens      N times POST on one server and GET on another, with and without the token
promotions  N promotions by trainers that have lost their lease
chaos       N kills, freezes and cuts of 3 servers under load: what they answer against one engine
upgrade     N times all of 3 servers under load, one by one, from the build in the folder of the
            variable OLD_BUILD to this one, and back

PostgreSQL runs with fsync, except where servers are killed or upgraded, since the machine does not
fail. A part that runs replaces its rows in ``results/replicas.json``.
"""

import argparse
import random
import signal
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from typing import Any

import psutil
from benchmarks import machine
from benchmarks.replica_chaos import chaos, upgrade
from benchmarks.replica_failovers import failovers
from benchmarks.replica_servers import Replica
from benchmarks.replica_writers import Writing, opened, outcome, started

from nearline.errors import StaleLease
from nearline.schema import Event
from nearline.testing.servers import PostgresServer, postgres

DURABLE = {"fsync": "on", "full_page_writes": "on"}
Row = dict[str, Any]
_FOLLOW = """
import sys, time
from nearline.log import open_log
log, total, lags = open_log(sys.argv[1]), int(sys.argv[2]), []
def on_commit(records):
    now = time.time()
    lags.extend(now - record.timestamp for _, record in records)
log.listen(on_commit, lambda *_: None, start=log.end)
print("ready", flush=True)
while len(lags) < total:
    time.sleep(0.05)
lags.sort()
print(lags[len(lags) // 2], lags[int(len(lags) * 0.99)], flush=True)
log.close()
"""
_WRITE = """
import sys, time
from nearline.log import open_log
from nearline.schema import Event
log = open_log(sys.argv[1])
while True:
    log.append([Event(user_id="frozen", item_id="i", timestamp=time.time())]).result()
"""


def events(numbers: range) -> list[Event]:
    """Return events with IDs, of a hundredth as many users."""
    users = max(1, len(numbers) // 100)
    return [
        Event(user_id=f"u{n % users}", item_id=f"i{n % 1_000}", timestamp=1.7e9, event_id=f"{n}")
        for n in numbers
    ]


def ingest(times: int) -> list[Row]:
    rows: list[Row] = []
    del times
    with postgres(15, DURABLE) as server:
        for clients, size, total in ((1, 100, 30_000), (8, 100, 60_000), (64, 1, 20_000)):
            log = opened(server.url(schema=f"ingest{clients}"))
            log.listen(lambda _: None, lambda *_: None)
            lists = [events(range(at, at + size)) for at in range(0, total, size)]

            def client(
                mine: Sequence[list[Event]], append: Callable[..., Any] = log.append
            ) -> None:
                for some in mine:
                    append(some).result()

            start, own, database = time.perf_counter(), time.process_time(), cpu_seconds(server)
            with ThreadPoolExecutor(clients) as pool:
                list(pool.map(client, [lists[n::clients] for n in range(clients)]))
            seconds, own = time.perf_counter() - start, time.process_time() - own
            database = cpu_seconds(server) - database
            log.close()
            rows.append(
                {
                    "clients": clients,
                    "list": size,
                    "events/s": round(total / seconds),
                    "CPU us an event, clients and log": round(own / total * 1e6, 1),
                    "CPU us an event, PostgreSQL": round(database / total * 1e6, 1),
                }
            )
    return rows


def cpu_seconds(server: PostgresServer) -> float:
    """Return the CPU time of all processes of a server that run."""
    if server.process is None:
        return 0.0
    parent = psutil.Process(server.process.pid)
    times = [one.cpu_times() for one in (parent, *parent.children(recursive=True))]
    return float(sum(one.user + one.system for one in times))


def lag(times: int) -> list[Row]:
    total, each = 20_000 * times, 20
    with postgres(15, DURABLE) as server, opened(server.url()) as log:
        command = [sys.executable, "-c", _FOLLOW, server.url(), str(total)]
        followers = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(3)]
        for follower in followers:
            assert follower.stdout is not None
            assert follower.stdout.readline() == "ready\n"
        start = time.monotonic()
        for sent in range(0, total, each):
            time.sleep(max(0.0, start + sent / 2_000 - time.monotonic()))
            now = time.time()
            log.append([Event(user_id=f"u{n}", item_id="i", timestamp=now) for n in range(each)])
        rows = []
        for follower in followers:
            assert follower.stdout is not None
            half, most = (float(word) for word in follower.stdout.readline().split())
            rows.append({"p50 ms": round(half * 1e3, 2), "p99 ms": round(most * 1e3, 2)})
            follower.wait()
    return rows


def kills(times: int) -> list[Row]:
    with postgres(15) as server:
        logs, done = [opened(server.url()) for _ in range(3)], threading.Event()
        writers = started(logs, done)
        for number in range(times):
            time.sleep(random.Random(number).uniform(0.1, 0.5))
            server.kill()
            server.start()
        time.sleep(1.0)
        found = outcome(writers, logs, done)
    return [{"kills": times, **found}]


def frozen(times: int) -> list[Row]:
    with postgres(15, DURABLE) as server, opened(server.url()) as log:
        done = threading.Event()
        process = subprocess.Popen([sys.executable, "-c", _WRITE, server.url()])
        writing = Writing(log, "other", done)
        try:
            while log.end < 20:  # until the process writes
                time.sleep(0.05)
            writing.start()
            for number in range(times):
                time.sleep(random.Random(number).uniform(0.05, 0.2))
                process.send_signal(signal.SIGSTOP)
                time.sleep(2.0)
                process.send_signal(signal.SIGCONT)
        finally:
            done.set()
            writing.join()
            process.kill()
            process.wait()
    return [{"frozen": times, "longest gap of the other s": round(writing.gap, 3)}]


def tokens(times: int) -> list[Row]:
    rows: list[Row] = []
    with postgres(15, DURABLE) as server, tempfile.TemporaryDirectory() as folder, ExitStack() as s:
        first, second = (s.enter_context(Replica(server, folder, name)) for name in "ab")
        for use in (True, False):
            stale, seconds = 0, []
            for number in range(times):
                answer = first.post({"user_id": f"u{number % 50}", "item_id": f"i{number % 99}"})
                token = answer.headers["nearline-offset"]
                headers = {"Nearline-Min-Offset": token} if use else {}
                start = time.perf_counter()
                got = second.get(f"/v1/users/u{number % 50}/recommendations", headers)
                seconds.append(time.perf_counter() - start)
                stale += got.status_code != 200 or got.json()["offset"] < int(token)
            p99 = statistics.quantiles(seconds, n=100)[98] if times > 1 else seconds[0]
            rows.append({"token": use, "stale": stale, "p99 ms": round(p99 * 1e3, 1)})
    return rows


def promotions(times: int) -> list[Row]:
    refused = accepted = 0
    with postgres(15) as server, opened(server.url()) as one, opened(server.url()) as two:
        for _ in range(times):
            stale = one.lease("training", 60.0)
            assert stale is not None
            one.release(stale)  # as if its time were over during a pause
            lease = two.lease("training", 60.0)
            assert lease is not None
            for log, held in ((one, stale), (two, lease)):
                try:
                    log.append_under(held, events(range(1))).result()
                    accepted += 1
                except StaleLease:
                    refused += 1
            two.release(lease)
    return [{"promotions": accepted, "refused": refused, "of stale trainers": times}]


PARTS: dict[str, tuple[Callable[[int], list[Row]], int]] = {
    "ingest": (ingest, 1),
    "lag": (lag, 1),
    "kills": (kills, 100),
    "failovers": (failovers, 20),
    "frozen": (frozen, 50),
    "tokens": (tokens, 10_000),
    "promotions": (promotions, 100),
    "chaos": (chaos, 100),
    "upgrade": (upgrade, 2),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("names", nargs="*", metavar="NAME", help=", ".join(PARTS))
    parser.add_argument("--times", type=int, help="repetitions of a fault or a request")
    given = parser.parse_args()
    machine.end_on_signals()
    for name in given.names or PARTS:
        part, times = PARTS[name]
        rows = [{"part": name, **row} for row in part(given.times or times)]
        for row in rows:
            print(name, row, flush=True)
        # Parts that do not run keep their rows.
        kept = [row for row in machine.rows_of("replicas") if row["part"] != name]
        machine.write("replicas", {}, kept + rows if rows else kept)


if __name__ == "__main__":
    main()
