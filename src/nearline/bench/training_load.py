"""Scenario: reads at a fixed rate, with and without a training run in the server."""

import time
from dataclasses import replace

from nearline.bench.generate import Load, ask, failures, no_failure
from nearline.bench.harness import OK, BenchFailed, Server
from nearline.bench.hot_read import warm_up
from nearline.bench.plan import Figure, Plan, ScenarioReport, figure, repeated
from nearline.bench.shop import store

JOBS = "/v1/jobs"
RATIO = 2.0
ACCEPTED = (200, 201, 202)
UNFINISHED = ("queued", "waiting", "running", "started")
# Maximum and minimum seconds of the load, which otherwise ends with the training.
LONGEST_SECONDS, LEAST_SECONDS = 900.0, 2.0
# Duration of the measurement without training, as a multiple of the plan's seconds.
QUIET = 3
POLL_SECONDS = 0.2


def run(plan: Plan) -> ScenarioReport:
    """Measure the 99th percentile of latencies with and without training, and the training time."""
    with Server.of(store(plan, "training-load")) as server:
        if server.ask("GET", JOBS)[0] != OK:
            raise BenchFailed(
                f"there is no {JOBS}: this server cannot train while it serves; the scenario needs "
                "a version that can"
            )
        warm_up(plan, server.port)

        def measure() -> list[Figure]:
            longer = replace(plan, seconds=QUIET * plan.seconds)
            quiet = no_failure(ask(longer, server.port, "read", rate=plan.rate))["read"]["ms"]
            busy, failed, seconds = _during_training(plan, server)
            return [
                figure("p99 without training", "ms", quiet["p99"]),
                figure("p99 during training", "ms", busy["p99"]),
                figure("ratio", "", busy["p99"] / quiet["p99"], at_most=RATIO),
                figure("training took", "s", seconds),
                figure("failed", "", failed, at_most=0),
            ]

        figures = repeated(plan, "reads during training", measure)
    notes = [f"open loop at {plan.rate:g} reads per second; each list was read once in advance"]
    notes.append("the load with training starts and ends with it; p99 is over all its reads")
    return ScenarioReport(figures=figures, notes=notes)


def _during_training(plan: Plan, server: Server) -> tuple[dict[str, float], int, float]:
    begin = time.perf_counter()
    status, body = server.ask("POST", JOBS, {"kind": "train"})
    if status not in ACCEPTED:
        raise BenchFailed(f"POST {JOBS} gave {status}: {body}")
    job = f"{JOBS}/{body['id']}"
    with Load(replace(plan, seconds=LONGEST_SECONDS), server.port, "read", rate=plan.rate) as load:
        # A load that is stopped before it has started returns no result.
        load.wait(LEAST_SECONDS)
        while load.running and _unfinished(server, job):
            load.wait(POLL_SECONDS)
        seconds = time.perf_counter() - begin
        load.stop()
        found = load.answer()
    return found["records"]["read"]["ms"], sum(failures(found).values()), seconds


def _unfinished(server: Server, job: str) -> bool:
    document = server.get(job)
    state = document.get("state", document.get("status"))
    if state in ("failed", "cancelled"):
        raise BenchFailed(f"the training ended as {state}: {document}")
    return state in UNFINISHED
