"""A long mixed load with a random fault every 30 seconds.

    python -m benchmarks.robustness.soak [--minutes 60] [--seed 0]

The server has the load of the scenario `mixed` of `nearline bench` (nine reads per event, 200
requests per second), a probe (`probe.py`), and faults of `faults.py` in random order, each for five
seconds. Prints what was lost, double or stale, the latencies of the probe outside faults, and the
slope of the server's memory, and writes ``results/soak.json``.

Memory also grows with what is stored. Faults use the same IDs each time, so each fault that stores
something is caused once before the hour begins: afterwards, a rising line is memory that is not
given back.
"""

import argparse
import asyncio
import random
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
from benchmarks import machine
from benchmarks.robustness.faults import FAULTS
from benchmarks.robustness.target import Fault, Target

from nearline.bench.harness import own_memory
from nearline.bench.load import percentiles
from nearline.bench.plan import Plan
from nearline.bench.shop import store

USERS, ITEMS = 2_000, 2_000
EVERY, LASTS = 30.0, 5.0
# Kinds of faults that store items or users.
STORING = ("bytes", "heavy users", "work", "values", "overload")
# Seconds after a fault that count as part of it.
RECOVERY = 5.0
RATE = 200.0


async def soak(plan: Plan, seconds: float) -> dict[str, Any]:
    """Run the load and the faults; return the findings."""
    rng, target = random.Random(plan.seed), Target(store(plan, "soak"))
    start = target.log_end()
    await target.start()
    for row in FAULTS:
        if row.kind in STORING:
            await row.cause(Fault(target, rng, time.perf_counter() + LASTS))
    await target.stop()  # what was compiled and learned so far is not part of the hour
    await target.start()
    begin = time.perf_counter()
    end = begin + seconds
    probing = asyncio.create_task(target.probe("probe", seconds, plan.seed, USERS))
    loading = asyncio.create_task(mixed_load(target, rng, end))
    memory: list[tuple[float, float]] = []
    faults: list[tuple[float, str]] = []
    while time.perf_counter() + EVERY < end:
        await asyncio.sleep(EVERY - LASTS)
        # Just before a fault, when the effects of the last one have had time to pass.
        memory.append((time.perf_counter() - begin, own_memory(target.process.pid)))
        row = rng.choice(FAULTS)
        faults.append((time.perf_counter() - begin, row.name))
        await row.cause(Fault(target, rng, time.perf_counter() + LASTS))
        print(f"{faults[-1][0]:6.0f} s  {memory[-1][1]:6.0f} MB  {row.name}", flush=True)
    found = await probing
    await loading
    before = own_memory(target.process.pid)
    await target.stop()
    await target.start()
    await asyncio.sleep(RECOVERY)
    restarted = own_memory(target.process.pid)
    await target.stop()
    stored = target.stored(start)
    acknowledged = {f"probe-{number}" for number in range(found["acknowledged"])}
    times, latencies = np.array(found["times"]), np.array(found["latencies"])
    quiet = np.ones(len(times), dtype=np.bool_)
    for moment, _ in faults:
        # A request that began before the fault may end in it.
        ends = times + latencies / 1_000
        quiet &= (ends < moment) | (times > moment + LASTS + RECOVERY)
    return {
        "seconds": seconds,
        "faults": len(faults),
        "acknowledged": len(acknowledged),
        "lost": len(acknowledged - stored.keys()),
        "double": sum(count > 1 for count in stored.values()),
        "stale": found["stale"],
        "retried": sum(found["failures"].values()),
        "outside_faults_ms": percentiles(latencies[quiet].tolist()),
        "memory_mb": [round(value) for _, value in memory],
        "memory_mb_per_minute": slope(memory),
        "memory_mb_before_and_after_restart": [round(before), round(restarted)],
    }


async def mixed_load(target: Target, rng: random.Random, end: float) -> None:
    """Run the load generator again and again, since faults end its connections."""
    while time.perf_counter() < end - 1.0:
        until = min(end, time.perf_counter() + EVERY)
        try:
            await Fault(target, rng, until).load("mix", rate=RATE, connections=8)
        except RuntimeError:  # the server is being started again
            await asyncio.sleep(0.5)


def slope(memory: list[tuple[float, float]]) -> float | None:
    """Return the slope of a least-squares line through the last four fifths, in MB per minute."""
    kept = memory[len(memory) // 5 :]
    if len(kept) < 2:
        return None
    seconds, values = zip(*kept, strict=True)
    return float(np.polyfit(np.array(seconds) / 60, values, 1)[0])


def main() -> None:
    """Parse the command line and run the soak."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--minutes", type=float, default=60.0)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        plan = Plan(folder=Path(folder), users=USERS, items=ITEMS, seed=options.seed)
        row = asyncio.run(soak(plan, 60.0 * options.minutes))
    for name, value in row.items():
        print(f"{name}: {value}")
    print(f"written to {machine.write('soak', vars(options), [row])}")


if __name__ == "__main__":
    main()
