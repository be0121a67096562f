"""Events per second from a Kafka topic into a store, and a connector that is killed many times.

    python -m benchmarks.kafka_ingest --events 300000 --kills 100

The topic is in a broker on this machine (Tansu, in memory) with three partitions. The connector
runs in a process of its own; the time begins when it has stored the first events. With `--kills`,
another connector of small batches is killed (SIGKILL) at random times. At the end, the log is
compared with the topic: each event once, and each message that is no event in the quarantine.
"""

import argparse
import json
import random
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

import nearline as nl
from nearline.errors import NearlineError
from nearline.log import open_log, url_of
from nearline.schema import Event
from nearline.testing.servers import KafkaServer, kafka

PARTITIONS = (0, 1, 2)
POISON_EVERY = 1_000


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--events", type=int, default=300_000)
    parser.add_argument("--kills", type=int, default=0)
    options = parser.parse_args()
    with kafka() as server, tempfile.TemporaryDirectory() as folder:
        measure(server, options.events, Path(folder) / "speed")
        if options.kills:
            endure(server, options.kills, Path(folder) / "kills")


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


def start(url: str, store: Path, batch: int) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "nearline.cli", "ingest", url, "--store", str(store)]
    more = ["--until-end", "--batch", str(batch), "--json"]
    return subprocess.Popen([*command, *more], stdout=subprocess.DEVNULL)


def end_of(store: Path) -> int:
    try:
        with open_log(url_of(store / "log.db"), read_only=True) as log:
            return log.end
    except NearlineError:
        return 0


def measure(server: KafkaServer, n: int, store: Path) -> None:
    process = start(send(server, "speed", n), store, 5_000)
    while (first := end_of(store)) == 0 and process.poll() is None:
        time.sleep(0.01)
    began = time.perf_counter()
    last = n - -(-n // POISON_EVERY)
    while (end := end_of(store)) < last and process.poll() is None:
        time.sleep(0.01)
    seconds = time.perf_counter() - began
    process.wait()
    print(f"{(end - first) / seconds:,.0f} events/s ({end - first:,} in {seconds:.1f} s)")


def endure(server: KafkaServer, kills: int, store: Path) -> None:
    n = 2_000 * kills
    url = send(server, "kills", n)
    for number in range(kills):
        process, target = start(url, store, 50), end_of(store) + random.randrange(1, 1_500)
        while end_of(store) < target and process.poll() is None:
            time.sleep(0.005)
        process.kill()
        process.wait()
        print(f"\r{number + 1} kills", end="", flush=True)
    with nl.Recommender(store) as rec:
        rec.ingest(url, follow=False)
        with open_log(url_of(store / "log.db"), read_only=True) as log:
            found = Counter(
                record.event_id for _, record in log.read() if isinstance(record, Event)
            )
        quarantined = sum(count for _, _, count in rec.quarantine.counts())
    expected = n - -(-n // POISON_EVERY)
    double = sum(count > 1 for count in found.values())
    lost = expected - len(found)
    print(f": lost {lost}, double {double}, quarantined {quarantined} of {n - expected}")


if __name__ == "__main__":
    main()
