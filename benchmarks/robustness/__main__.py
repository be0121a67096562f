"""Behaviour of the server under faults: what is lost, and how others are served meanwhile.

    python -m benchmarks.robustness [--only TEXT] [--seconds 6] [--break cache|deduplication|fsync]

For each fault, a server of a small shop is started. A probe (`probe.py`) sends events and reads
lists at a low rate, from before the fault begins until after it has ended, and retries what fails.
Afterwards, the log is compared with the acknowledged events. The table is written to
``results/robustness.json`` and docs/robustness.md. ``--break`` damages the server on purpose, to
show that the benchmark notices; its table is only printed.
"""

import argparse
import asyncio
import random
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Any

from benchmarks import crash, machine
from benchmarks.robustness.broken import BROKEN
from benchmarks.robustness.faults import FAULTS, Row
from benchmarks.robustness.target import Fault, Target

from nearline.bench.load import percentiles
from nearline.bench.plan import Plan
from nearline.bench.shop import store
from nearline.log.tables import SETTINGS

USERS, ITEMS = 2_000, 2_000
# Seconds of the probe before and after the fault.
BEFORE, AFTER = 0.5, 1.5
NAME = "probe"
POWER_CUT, POWER_CUTS = "power failure that loses unsynced writes", 20
# The guarantee that only a power failure can show to be broken.
FSYNC = "fsync"


async def measure(row: Row, plan: Plan, broken: str | None) -> dict[str, Any]:
    """Cause one fault; return its row of the table."""
    target = Target(store(plan, "robustness"), broken)
    start = target.log_end()
    await target.start()
    watching = asyncio.create_task(target.watch())
    begin = time.perf_counter()
    seconds = BEFORE + plan.seconds + AFTER
    probing = asyncio.create_task(target.probe(NAME, seconds, plan.seed, USERS))
    await asyncio.sleep(BEFORE)
    fault = Fault(target, random.Random(plan.seed), time.perf_counter() + plan.seconds)
    try:
        await row.cause(fault)
        seconds = time.perf_counter() - begin - BEFORE
        found = await probing
    finally:
        watching.cancel()
        await target.stop()
    stored = target.stored(start)
    acknowledged = {f"{NAME}-{number}" for number in range(found["acknowledged"])}
    times = percentiles(found["latencies"])
    return {
        "kind": row.kind,
        "fault": row.name,
        "load": row.load,
        "seconds": round(seconds, 1),
        "requests": len(found["latencies"]),
        "acknowledged": len(acknowledged),
        "lost": len(acknowledged - stored.keys()),
        "double": sum(count > 1 for count in stored.values()),
        "stale": found["stale"],
        "retried": sum(found["failures"].values()),
        "failures": found["failures"],
        **{f"{name}_ms": round(times[name], 1) for name in ("p50", "p99", "p999")},
        "memory_mb": round(target.peak_mb),
    }


def cut_power(plan: Plan, broken: str | None) -> dict[str, Any]:
    """Simulate power failures of a log on a disk that loses unsynced writes; return the row."""
    if broken == FSYNC:
        SETTINGS["synchronous"] = "off"
    begin = time.perf_counter()
    found = crash.cuts(POWER_CUTS, plan.folder, random.Random(plan.seed))
    times = percentiles([0.0])  # nobody else is served
    return {
        "kind": "failures",
        "fault": POWER_CUT,
        "load": f"{POWER_CUTS} times, on a simulated disk",
        "seconds": round(time.perf_counter() - begin, 1),
        "requests": 0,
        **{name: found[name] for name in ("acknowledged", "lost")},
        "double": found["twice"],
        "stale": 0,
        "retried": 0,
        "failures": {},
        **{f"{name}_ms": times[name] for name in ("p50", "p99", "p999")},
        "memory_mb": 0,
    }


def line_of(row: dict[str, Any], seed: int, commit: str) -> str:
    """Return a row of the Markdown table."""
    cells = (
        row["fault"],
        row["load"],
        seed,
        f"`{commit}`",
        f"{row['acknowledged']:,} / {row['lost']} / {row['double']} / {row['stale']}",
        row["retried"],
        f"{row['p50_ms']:g} / {row['p99_ms']:g} / {row['p999_ms']:g}" if row["requests"] else "",
        f"{row['memory_mb']:,}" if row["requests"] else "",
    )
    return "| " + " | ".join(map(str, cells)) + " |"


HEADER = [
    "| fault | load | seed | commit | acknowledged / lost / double / stale | retried | p50 / p99 / "
    "p99.9 of others, ms | memory, MB |",
    "|---|---|---|---|---|---|---|---|",
]


def current_commit() -> str:
    """Return the abbreviated hash of the checked-out commit."""
    command = ["git", "rev-parse", "--short", "HEAD"]
    done = subprocess.run(
        command, capture_output=True, text=True, check=True, cwd=Path(__file__).parent
    )
    return done.stdout.strip()


async def run(options: argparse.Namespace) -> None:
    commit, rows = current_commit(), []
    print("\n".join(HEADER), flush=True)
    with tempfile.TemporaryDirectory() as folder:
        plan = Plan(
            folder=Path(folder),
            users=USERS,
            items=ITEMS,
            seconds=options.seconds,
            seed=options.seed,
        )
        for row in FAULTS:
            if options.only and options.only not in f"{row.kind} {row.name}":
                continue
            broken = None if options.broken == FSYNC else options.broken
            rows.append(await measure(row, plan, broken))
            print(line_of(rows[-1], options.seed, commit), flush=True)
        if not options.only or options.only in POWER_CUT:
            rows.append(cut_power(plan, options.broken))
            print(line_of(rows[-1], options.seed, commit), flush=True)
    failed = [row["fault"] for row in rows if row["lost"] or row["double"] or row["stale"]]
    print(f"{len(rows)} faults; with lost, double or stale data: {', '.join(failed) or 'none'}")
    if not options.only and options.broken is None:
        settings = {"seconds": options.seconds, "seed": options.seed, "commit": commit}
        print(f"written to {machine.write('robustness', settings, rows)}")
        lines = [*HEADER, *(line_of(row, options.seed, commit) for row in rows)]
        machine.write_page("robustness.md", "table", lines)


def main() -> None:
    """Parse the command line and run all faults."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--only", metavar="TEXT", help="faults whose kind or name contains TEXT")
    parser.add_argument("--seconds", type=float, default=6.0, help="duration of each fault")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--break", dest="broken", choices=sorted({*BROKEN, FSYNC}))
    asyncio.run(run(parser.parse_args()))


if __name__ == "__main__":
    main()
