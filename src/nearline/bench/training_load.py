"""Reads at a fixed rate while a full training runs in the server, and without it."""

import time

from nearline.bench.generate import Load, ask, failures, no_failure
from nearline.bench.harness import OK, BenchFailed, Server
from nearline.bench.hot_read import warm_up
from nearline.bench.plan import Figure, Plan, Report, figure, repeated
from nearline.bench.shop import store

JOBS = "/v1/jobs"
RATIO = 2.0
ACCEPTED = (200, 201, 202)
UNFINISHED = ("queued", "waiting", "running", "started")
# The load goes on until the training ends, and no longer than this.
LONGEST_SECONDS = 900.0
POLL_SECONDS = 0.2


def run(plan: Plan) -> Report:
    """Measure the p99 of reads with and without a training, and how long that took."""
    with Server.of(store(plan, "training-load")) as server:
        if server.ask("GET", JOBS)[0] != OK:
            raise BenchFailed(
                f"there is no {JOBS}: this server cannot train while it serves; the scenario needs "
                "a version that can"
            )
        warm_up(plan, server.port)

        def measure() -> list[Figure]:
            quiet = no_failure(ask(plan, server.port, "read", rate=plan.rate))["read"]["ms"]
            busy, failed, seconds = _during_training(plan, server)
            return [
                figure("p99 without training", "ms", quiet["p99"]),
                figure("p99 during training", "ms", busy["p99"]),
                figure("ratio", "", busy["p99"] / quiet["p99"], at_most=RATIO),
                figure("training took", "s", seconds),
                figure("failed", "", failed, at_most=0),
            ]

        figures = repeated(plan, "reads during training", measure)
    notes = [f"open loop at {plan.rate:g} reads a second; each list was read once before"]
    return Report(figures=figures, notes=notes)


def _during_training(plan: Plan, server: Server) -> tuple[dict[str, float], int, float]:
    begin = time.perf_counter()
    status, body = server.ask("POST", JOBS, {"kind": "train"})
    if status not in ACCEPTED:
        raise BenchFailed(f"POST {JOBS} gave {status}: {body}")
    job = f"{JOBS}/{body['id']}"
    worst: dict[str, float] = {}
    failed = 0
    # Measured in pieces, so that the load ends with the training; the worst piece counts.
    while time.perf_counter() - begin < LONGEST_SECONDS:
        with Load(plan, server.port, "read", rate=plan.rate) as load:
            while load.running and _unfinished(server, job):
                load.wait(POLL_SECONDS)
            ended = not load.running
            found = load.answer() if ended or not worst else None
        if found is not None:
            failed += sum(failures(found).values())
            piece = found["records"]["read"]["ms"]
            worst = max(worst, piece, key=lambda ms: ms.get("p99", 0.0))
        if not _unfinished(server, job):
            break
    return worst, failed, time.perf_counter() - begin


def _unfinished(server: Server, job: str) -> bool:
    told = server.get(job)
    state = told.get("state", told.get("status"))
    if state in ("failed", "cancelled"):
        raise BenchFailed(f"the training ended as {state}: {told}")
    return state in UNFINISHED
