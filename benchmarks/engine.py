"""Every scenario of `nearline bench`, compared with other software.

    python -m benchmarks.engine [SCENARIO ...] [--quick] [--users N --items N --seconds S]

Each scenario starts the real server and writes ``results/engine_<scenario>.json`` and, if it has
curves, a picture. `hot-read` is compared with FastAPI and an ALS model of `implicit` on the same
events, in an environment of its own. `mixed` runs once for ten minutes, and `promotion` once, long
enough for a hundred promotions; --quick and --seconds override these durations.
"""

import argparse
import json
import tempfile
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

from benchmarks import machine
from benchmarks.peers import environment

from nearline.bench import hot_read
from nearline.bench.harness import BenchFailed, Server
from nearline.bench.picture import draw
from nearline.bench.plan import Plan, ScenarioReport
from nearline.bench.scenarios import SCENARIOS
from nearline.bench.shop import write_events
from nearline.cli.bench import number

PEER = ("fastapi==0.165.0", "uvicorn==0.54.0", "httptools==0.9.0", "uvloop==0.23.0")
ALS = ("implicit==0.7.3", "pyarrow==26.0.1")
FACTORS, ITERATIONS = 64, 15
# Scenarios that run once, and their durations in seconds.
ONCE = {"mixed": 600.0, "promotion": 90.0}
QUICK: dict[str, Any] = {
    "users": 1_000,
    "items": 1_000,
    "seconds": 2.0,
    "connections": 8,
    "repeats": 1,
}


def fastapi_server(plan: Plan) -> Server:
    """Return the peer server, which fits its model on the events of the plan when it starts."""
    events = plan.folder / "peer.parquet"
    write_events(events, plan)
    python = environment(*PEER, *ALS)
    question = {"events": str(events), "factors": FACTORS, "iterations": ITERATIONS}

    def command(port: int) -> list[str]:
        script = Path(__file__).with_name("peer_fastapi.py")
        # As implicit recommends: its own threads compete with those of BLAS.
        quiet = ["env", "OPENBLAS_NUM_THREADS=1"]
        return [*quiet, str(python), str(script), json.dumps({**question, "port": port})]

    return Server(command, plan.folder / "peer.txt")


def measure(scenario: str, plan: Plan) -> ScenarioReport:
    """Run a scenario; `hot-read` includes the peer."""
    if scenario != "hot-read":
        return SCENARIOS[scenario](plan)
    with ExitStack() as stack:
        peer = stack.enter_context(fastapi_server(plan))
        report = hot_read.run(plan, {"FastAPI + implicit": peer})
    note = (
        f"FastAPI + implicit: {', '.join((*PEER, *ALS))}; ALS of {FACTORS} factors, access log off"
    )
    return replace(report, notes=[*report.notes, note])


def show(scenario: str, report: ScenarioReport) -> None:
    print(f"\n{scenario}")
    for one in report.figures:
        bound = (
            "" if one.target is None else f"{'<=' if one.at_most else '>='} {number(one.target)}"
        )
        met = {None: "", True: "met", False: "MISSED"}[one.met]
        spread = f"({number(one.low)} to {number(one.high)})"
        value = f"{number(one.value)} {one.unit}"
        print(f"  {one.name:44}{value:>20}  {spread:24}{bound:>12}  {met}", flush=True)
    for note in report.notes:
        print(f"  - {note}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("scenarios", nargs="*", metavar="SCENARIO", help=", ".join(SCENARIOS))
    parser.add_argument(
        "--quick", action="store_true", help="a small data set, to check that the benchmark works"
    )
    parser.add_argument(
        "--folder", type=Path, help="folder that keeps the generated data between runs"
    )
    for name, kind in (("users", int), ("items", int), ("history", int), ("connections", int)):
        parser.add_argument(f"--{name}", type=kind)
    for name, kind in (("repeats", int), ("seed", int)):
        parser.add_argument(f"--{name}", type=kind)
    for name in ("seconds", "rate"):
        parser.add_argument(f"--{name}", type=float)
    asked = vars(parser.parse_args())
    names, quick, kept = asked.pop("scenarios"), asked.pop("quick"), asked.pop("folder")
    sizes = {name: value for name, value in asked.items() if value is not None}
    if unknown := set(names) - set(SCENARIOS):
        parser.error(f"no such scenario: {', '.join(sorted(unknown))}")
    with tempfile.TemporaryDirectory() as scratch:
        plan = Plan(folder=kept or Path(scratch), **{**(QUICK if quick else {}), **sizes})
        for scenario in names or SCENARIOS:
            run = plan
            if scenario in ONCE and not quick and "seconds" not in sizes:
                run = replace(plan, seconds=ONCE[scenario], repeats=1)
            try:
                report = measure(scenario, run)
            except BenchFailed as error:
                print(f"\n{scenario}: not measured: {error}", flush=True)
                continue
            show(scenario, report)
            write(scenario, run, report)


def write(scenario: str, plan: Plan, report: ScenarioReport) -> None:
    """Write the figures, and a picture if there are curves."""
    document = report.as_dict()
    rows = document.pop("figures")
    assert isinstance(rows, list)
    settings = {**plan.settings(), "notes": document["notes"]}
    path = machine.write(f"engine_{scenario.replace('-', '_')}", settings, rows)
    if report.curves:
        draw(report, path.with_suffix(".svg"), f"nearline bench {scenario}")


if __name__ == "__main__":
    main()
