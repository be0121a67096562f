"""Cost of sealing: events per second of a sealed log, as a share of those of a plain one.

    python -m benchmarks.sealing --repeats 5 --write

Single events and lists of 100 are appended to a plain and to a sealed log in turn, and both are
then read from the beginning. The limit is 0.85. Answers read neither log nor keys, so their cost
does not change.
"""

import argparse
import os
import tempfile
import time
from pathlib import Path
from typing import Any

from benchmarks import machine
from benchmarks.log_ingest import in_lists, make_events, seconds_of_log

from nearline import sealing
from nearline.log import SQLiteLog
from nearline.schema import Event

KEY_VARIABLE = "NEARLINE_BENCHMARK_KEY"
SIZES = {"single": 1, "lists of 100": 100}


def rates(folder: Path, events: list[Event], *, sealed: bool) -> dict[str, float]:
    """Return events per second of each way to append, and of reading."""
    found = {}
    for name, size in SIZES.items():
        some = events[: len(events) // 10] if size == 1 else events
        place = folder / name.replace(" ", "-")
        place.mkdir(parents=True)
        if sealed:
            sealing.make_keys(place, f"env:{KEY_VARIABLE}")
        found[name] = len(some) / seconds_of_log(place / "log.db", in_lists(some, size))
    with SQLiteLog(place / "log.db") as log:
        start = time.perf_counter()
        count = sum(1 for _ in log.read())
        found["replay"] = count / (time.perf_counter() - start)
    return found


def main() -> None:
    """Print the rates and their ratios."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--events", type=int, default=100_000)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--write", action="store_true", help="write results/sealing.json")
    given = parser.parse_args()
    machine.end_on_signals()
    os.environ.setdefault(KEY_VARIABLE, "00" * 32)
    events = make_events(given.events)
    measured: dict[str, list[tuple[float, float]]] = {}
    for _ in range(given.repeats):
        with tempfile.TemporaryDirectory() as folder:
            plain = rates(Path(folder) / "plain", events, sealed=False)
            sealed = rates(Path(folder) / "sealed", events, sealed=True)
        for name, rate in plain.items():
            measured.setdefault(name, []).append((rate, sealed[name]))
    rows: list[dict[str, Any]] = []
    for name, pairs in measured.items():
        ratio = machine.spread([mine / base for base, mine in pairs])
        rows.append({"name": name, "ratio": ratio})
        print(f"{name:14} sealed / plain {ratio}")
    if given.write:
        machine.write("sealing", {"events": given.events, "repeats": given.repeats}, rows)


if __name__ == "__main__":
    main()
