"""Random requests and damaged files: no crash, no status 500, no memory beyond the budget.

    python -m benchmarks.robustness.fuzz [TARGET ...] [--minutes 10] [--seed 0]

The targets `bodies`, `ids`, `paths` and `queries` send random requests to a server
(`fuzz_requests.py`). The targets `snapshot`, `checkpoint` and `log` damage a file of a store, and
open and use the store (`fuzz_files.py`); half of the damaged files have correct checksums, so that
the code behind the checksums is reached too. The target `expressions` evaluates random filters and
boosts over 100,000 items (`fuzz_expressions.py`). This runs in another process, so that a crash is
noticed. Each finding is printed with what reproduces it, and the exit status is 1. The results are
written to ``results/fuzz.json``, where those of targets that were not run are kept.
"""

import argparse
import asyncio
import json
import os
import select
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any

from benchmarks import machine
from benchmarks.robustness.__main__ import current_commit
from benchmarks.robustness.fuzz_expressions import fuzz_expressions
from benchmarks.robustness.fuzz_files import FILES
from benchmarks.robustness.fuzz_requests import REQUESTS, fuzz_requests

from nearline.bench.harness import clean_environment, python
from nearline.bench.plan import Plan

USERS, ITEMS = 200, 200
EXPRESSIONS = "expressions"
RESULTS = Path("benchmarks/results/fuzz.json")
# A damaged file is opened and used in less than a second, apart from compilation at the start.
INPUT_SECONDS = 60.0

Found = dict[str, Any]


def fuzz_files(plan: Plan, seconds: float, target: str) -> Found:
    """Run `fuzz_files` in a process, and start it again after a crash; return the result."""
    outcomes: Counter[str] = Counter()
    findings: list[str] = []
    end = time.perf_counter() + seconds
    number, peak = 0, 0.0
    while time.perf_counter() < end:
        command = python("benchmarks.robustness.fuzz_files", target, str(plan.seed), str(number))
        process = subprocess.Popen(
            [*command, str(max(1.0, end - time.perf_counter())), str(plan.folder / target)],
            stdout=subprocess.PIPE,
            stderr=(plan.folder / f"{target}.txt").open("ab"),
            env=clean_environment(),
        )
        assert process.stdout is not None
        while select.select([process.stdout], [], [], INPUT_SECONDS)[0]:
            line = process.stdout.readline()
            if not line:
                break
            found = json.loads(line)
            number, peak = found["number"] + 1, max(peak, found["memory_mb"])
            outcomes[found["outcome"]] += 1
            if found["finding"]:
                findings.append(f"input {found['number']}: {found['finding']}")
        else:
            findings.append(f"input {number}: no end within {INPUT_SECONDS:g} seconds")
            process.kill()
        if process.wait():
            findings.append(f"input {number}: the process ended with {process.returncode}")
            outcomes["ended"] += 1
            number += 1
    return {
        "inputs": outcomes.total(),
        "outcomes": dict(outcomes.most_common()),
        "memory_mb": round(peak),
        "findings": findings,
    }


def run(plan: Plan, seconds: float, target: str) -> Found:
    """Fuzz one target for some seconds; return its row of the results."""
    if target == EXPRESSIONS:
        return fuzz_expressions(plan, time.perf_counter() + seconds)
    if target in FILES:
        return fuzz_files(plan, seconds, target)
    return asyncio.run(fuzz_requests(plan, time.perf_counter() + seconds, target))


def write(rows: list[Found]) -> Path:
    """Write the results, and keep those of targets that were not run."""
    kept = json.loads(RESULTS.read_text())["rows"] if RESULTS.exists() else []
    names = {row["target"] for row in rows}
    rows = [row for row in kept if row["target"] not in names] + rows
    order = [*REQUESTS, *FILES, EXPRESSIONS]
    return machine.write("fuzz", {}, sorted(rows, key=lambda row: order.index(row["target"])))


def main() -> None:
    """Parse the command line and fuzz all targets."""
    targets: list[str] = [*REQUESTS, *FILES, EXPRESSIONS]
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("targets", nargs="*", metavar="TARGET", help=", ".join(targets))
    parser.add_argument("--minutes", type=float, default=10.0, help="for each target")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--no-write", action="store_true", help="only print the results")
    options = parser.parse_args()
    if unknown := set(options.targets) - set(targets):
        parser.error(f"no such target: {', '.join(sorted(unknown))}")
    os.environ["PYTHONPATH"] = os.pathsep.join([str(Path.cwd()), os.environ.get("PYTHONPATH", "")])
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        plan = Plan(folder=Path(folder), users=USERS, items=ITEMS, seed=options.seed)
        for name in options.targets or targets:
            found = run(plan, 60.0 * options.minutes, name)
            shown = {key: value for key, value in found.items() if key != "findings"}
            print(f"{name}: {json.dumps(shown)}, {len(found['findings'])} findings", flush=True)
            print("\n".join(found["findings"][:20]), flush=True)
            rows.append(
                {
                    "target": name,
                    "minutes": options.minutes,
                    "seed": options.seed,
                    "commit": current_commit(),
                    **found,
                    "findings": found["findings"][:100],
                }
            )
    if not options.no_write:
        print(f"written to {write(rows)}")
    sys.exit(any(row["findings"] for row in rows))


if __name__ == "__main__":
    main()
