"""Scenario: start-up time with a checkpoint, after a crash, and without a checkpoint."""

import shutil
import time

from nearline.bench.generate import ask, no_failure
from nearline.bench.harness import Server, python, run_command
from nearline.bench.plan import Figure, Plan, ScenarioReport, figure, repeated
from nearline.bench.shop import store

READY_S = 2.0
LIST = 100
# File of a store without which it can be started too, from the log alone.
CHECKPOINT = "state.checkpoint"


def run(plan: Plan) -> ScenarioReport:
    """Measure the seconds from starting the process to its first response that it is ready."""
    counts: list[int] = []

    def measure() -> list[Figure]:
        fresh = store(plan, "start")
        imports = _seconds_of_imports()
        server = Server.of(fresh)
        with server:
            ready = server.ready_seconds
            counts.append(_offset(server))
            _send_some(plan, server)
            server.kill()
        with server:
            recovered = server.ready_seconds
        shutil.copytree(fresh, plan.folder / "replayed", dirs_exist_ok=True)
        (plan.folder / "replayed" / CHECKPOINT).unlink(missing_ok=True)
        with Server.of(plan.folder / "replayed") as bare:
            replayed = bare.ready_seconds
        return [
            figure("ready from the checkpoint", "s", ready, at_most=READY_S),
            figure("ready after kill -9", "s", recovered, at_most=READY_S),
            figure("ready without a checkpoint", "s", replayed),
            figure("importing the server, no store", "s", imports),
        ]

    figures = repeated(plan, "start", measure)
    notes = [f"the log has {counts[0]:,} records; files are in the system's page cache"]
    notes.append("killed after two seconds of lists of 100 events that are in no checkpoint")
    return ScenarioReport(figures=figures, notes=notes)


def _seconds_of_imports() -> float:
    begin = time.perf_counter()
    run_command([*python("nearline.cli")[:1], "-c", "import nearline.server, nearline.engine"])
    return time.perf_counter() - begin


def _send_some(plan: Plan, server: Server) -> None:
    seconds = min(plan.seconds, 2.0)
    no_failure(ask(plan, server.port, "lists", size=LIST, seconds=seconds, name="killed"))


def _offset(server: Server) -> int:
    return int(server.get("/v1/users/u0/recommendations")["offset"])
