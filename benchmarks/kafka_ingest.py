"""Events per second from a Kafka topic into a store, and a connector and a broker that are killed.

    python -m benchmarks.kafka_ingest --events 300000 --kills 100 --broker-kills 10

The topic is in a broker on this machine (Tansu) with three partitions. The connector runs in a
process of its own; time and CPU time begin when it has stored the first events, and the log is a
file or PostgreSQL. With `--kills`, another connector of small batches is killed (SIGKILL) at random
times, and with `--broker-kills` the broker is, too, while the connector reads. At the end, the log
is compared with the topic: each event once, and each message that is no event in the quarantine.
A broker that is killed must keep its messages, in the program ``moto_server`` (``pip install
'moto[s3,server]'``), a server with the interface of S3.
"""

import argparse
import json
import os
import random
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext, suppress
from pathlib import Path
from typing import Any
from urllib.request import Request, urlopen

import psutil
from benchmarks import machine

import nearline as nl
from nearline.errors import NearlineError
from nearline.log import open_log, url_of
from nearline.schema import Event
from nearline.testing.servers import KafkaServer, kafka, postgres
from nearline.testing.servers.base import wait_until
from nearline.testing.servers.ports import free_port

PARTITIONS = (0, 1, 2)
POISON_EVERY = 1_000
LOGS = ("file", "postgres")
Row = dict[str, Any]


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--events", type=int, default=300_000)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--logs", nargs="*", choices=LOGS, default=LOGS)
    parser.add_argument("--kills", type=int, default=0)
    parser.add_argument("--broker-kills", type=int, default=0)
    parser.add_argument("--s3-program", default="moto_server", help="a server of S3's interface")
    options = parser.parse_args()
    machine.end_on_signals()
    rows: list[Row] = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        if options.logs:
            rows = speed(options.logs, options.events, options.repeats, folder)
        if options.kills:
            with storage(options.s3_program, options.broker_kills) as engine, kafka(engine) as one:
                rows.append(endure(one, options.kills, options.broker_kills, folder / "kills"))
                print(rows[-1], flush=True)
    settings = vars(options) | {"s3_program": Path(options.s3_program).name}
    print(f"written to {machine.write('kafka_ingest', settings, rows)}")


def speed(logs: list[str], n: int, repeats: int, folder: Path) -> list[Row]:
    """Measure each log in turn, several times."""
    found: dict[str, list[tuple[float, float]]] = {log: [] for log in logs}
    with kafka() as server:
        url = send(server, "speed", n)
        for number in range(repeats):
            for log in logs:
                own = folder / f"{log}{number}"
                with database(own) if log == "postgres" else nullcontext(str(own)) as store:
                    found[log].append(measure(url, n, store))
                rate, cpu = found[log][-1]
                print(f"{log:9}{rate:9,.0f} events/s, {cpu:5.1f} ms CPU per 1,000", flush=True)
    return [
        {
            "log": log,
            "events_a_second": machine.spread([rate for rate, _ in pairs]),
            "connector_cpu_ms_a_thousand": machine.spread([cpu for _, cpu in pairs]),
        }
        for log, pairs in found.items()
    ]


@contextmanager
def database(folder: Path) -> Iterator[str]:
    """Start PostgreSQL, with fsync; return the URL of a store in it."""
    with postgres(15, {"fsync": "on", "full_page_writes": "on"}) as server:
        yield server.url(folder=str(folder))


@contextmanager
def storage(program: str, broker_kills: int) -> Iterator[str]:
    """Return where the broker keeps its messages: in memory, or in S3 if it will be killed."""
    if not broker_kills:
        yield "memory://tansu/"
        return
    port = free_port()
    address = f"http://127.0.0.1:{port}"
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    process = subprocess.Popen([program, "-H", "127.0.0.1", "-p", str(port)], **quiet)  # type: ignore[call-overload]

    def created() -> bool:
        with suppress(OSError):
            urlopen(Request(f"{address}/tansu", method="PUT"))
            return True
        return False

    try:
        wait_until(created, "the start of the server of S3's interface", 60.0)
        # The broker that is started later reads them.
        os.environ |= {"AWS_ENDPOINT": address, "AWS_ALLOW_HTTP": "true"}
        os.environ |= {"AWS_ACCESS_KEY_ID": "x", "AWS_SECRET_ACCESS_KEY": "x"}
        os.environ |= {"AWS_DEFAULT_REGION": "us-east-1"}
        yield "s3://tansu/"
    finally:
        process.kill()
        process.wait()


def send(server: KafkaServer, topic: str, n: int) -> str:
    url = server.create(topic, len(PARTITIONS))
    values = (
        b"poison"
        if number % POISON_EVERY == 0
        else json.dumps(
            {
                "user_id": f"u{number * 7919 % (1 + n // 50)}",
                "item_id": f"i{number * 104_729 % 20_000}",
                "timestamp": 1.7e9 + number,
            }
        ).encode()
        for number in range(n)
    )
    server.send(topic, values, partitions=PARTITIONS)
    return url


def start(url: str, store: str, batch: int) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "nearline.cli", "ingest", url, "--store", store]
    more = ["--until-end", "--batch", str(batch), "--json"]
    return subprocess.Popen([*command, *more], stdout=subprocess.DEVNULL)


def end_of(store: str) -> int:
    place = store if store.startswith("postgresql:") else url_of(Path(store) / "log.db")
    try:
        with open_log(place, read_only=True) as log:
            return log.end
    except NearlineError:
        return 0


def measure(url: str, n: int, store: str) -> tuple[float, float]:
    """Return events per second, and the connector's CPU time in ms per 1,000 events."""
    process = start(url, store, 5_000)
    while (first := end_of(store)) == 0 and process.poll() is None:
        time.sleep(0.01)
    # What the connector has done since then, without its start and its end.
    began, used = time.perf_counter(), cpu_seconds(process.pid)
    last = n - -(-n // POISON_EVERY)
    while (end := end_of(store)) < last:
        if process.poll() is not None:
            raise RuntimeError(f"the connector ended at offset {end} of {last}")
        time.sleep(0.02)
    seconds, used = time.perf_counter() - began, cpu_seconds(process.pid) - used
    process.wait()
    return (end - first) / seconds, used / (end - first) * 1e6


def cpu_seconds(pid: int) -> float:
    times = psutil.Process(pid).cpu_times()
    return float(times.user + times.system)


def endure(server: KafkaServer, kills: int, broker_kills: int, store: Path) -> Row:
    """Kill connectors, and the broker in some of the rounds; compare the log with the topic."""
    n, place, chance = 2_000 * kills, str(store), random.Random(0)
    url = send(server, "kills", n)
    of_broker = set(chance.sample(range(kills), broker_kills))
    for number in range(kills):
        process, target = start(url, place, 50), end_of(place) + chance.randrange(1, 1_500)
        while end_of(place) < target and process.poll() is None:
            time.sleep(0.005)
        if number in of_broker:
            server.kill()
            server.start()
            target = end_of(place) + chance.randrange(1, 500)
            while end_of(place) < target and process.poll() is None:
                time.sleep(0.005)
        ended = process.poll()
        process.kill()
        process.wait()
        if ended:
            raise RuntimeError(f"the connector ended by itself with status {ended}")
        print(f"\r{number + 1} kills", end="", flush=True)
    print()
    with nl.Recommender(store) as rec:
        rec.ingest(url, follow=False)
        with open_log(url_of(store / "log.db"), read_only=True) as log:
            found = Counter(
                record.event_id for _, record in log.read() if isinstance(record, Event)
            )
        quarantined = sum(count for _, _, count in rec.quarantine.counts())
    poison = -(-n // POISON_EVERY)
    ids = {
        f"kafka:kills/{number % len(PARTITIONS)}/{number // len(PARTITIONS)}"
        for number in range(n)
        if number % POISON_EVERY
    }
    return {
        "kills": kills,
        "broker_kills": broker_kills,
        "messages": n,
        "lost": len(ids - found.keys()),
        "unknown": len(found.keys() - ids),
        "double": sum(count > 1 for count in found.values()),
        "quarantined": quarantined,
        "of": poison,
    }


if __name__ == "__main__":
    main()
