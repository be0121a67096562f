"""Scenario: nine reads per event at a fixed rate, with the server's memory over time."""

import time

import numpy as np

from nearline.bench.generate import Load, failures
from nearline.bench.harness import Server
from nearline.bench.plan import Figure, Plan, ScenarioReport, figure, repeated
from nearline.bench.shop import store

P99_MS, SLOPE_MB = 5.0, 1.0
# Share of the samples that is discarded as warm-up, while caches and pools fill.
WARM_SHARE = 0.2
SAMPLE_SECONDS = 1.0

Points = list[tuple[float, float]]


def run(plan: Plan) -> ScenarioReport:
    """Measure latencies from the due times of requests, failures, and the growth of memory."""
    curves: dict[str, Points] = {}
    with Server.of(store(plan, "mixed")) as server:
        names = iter(range(plan.repeats + 1))

        def measure() -> list[Figure]:
            name = f"mixed{next(names)}"
            with Load(plan, server.port, "mix", rate=plan.rate, name=name) as load:
                curves[name] = samples = sample(server, load)
                found = load.answer()
            read, event = (found["records"][kind] for kind in ("read", "event"))
            return [
                figure("all requests, p99", "ms", found["ms"]["p99"], at_most=P99_MS),
                figure("reads, p50", "ms", read["ms"]["p50"]),
                figure("reads, p99", "ms", read["ms"]["p99"], at_most=P99_MS),
                figure("events, p50", "ms", event["ms"]["p50"]),
                figure("events, p99", "ms", event["ms"]["p99"], at_most=P99_MS),
                figure(
                    "requests a second", "1/s", (read["count"] + event["count"]) / found["seconds"]
                ),
                figure("failed", "", sum(failures(found).values()), at_most=0),
                figure("memory at the end", "MB", samples[-1][1]),
                figure("memory, slope", "MB/min", slope(samples), at_most=SLOPE_MB),
            ]

        figures = repeated(plan, "mixed load", measure)
    notes = [f"open loop at {plan.rate:g} requests per second: latency counts from the due time"]
    notes.append("the slope is a least-squares line through the last four fifths of the samples")
    notes.append("memory is resident and private: pages of mapped files are not counted")
    return ScenarioReport(
        figures=figures, notes=notes, curves=curves, axes=("seconds", "memory, MB")
    )


def sample(server: Server, load: Load) -> Points:
    """Measure the memory of the server about once per second while the load runs.

    Returns
    -------
    list of (float, float)
        Seconds since the start, and memory in MB.
    """
    begin, samples = time.perf_counter(), []
    while True:
        samples.append((time.perf_counter() - begin, server.memory))
        if not load.running:
            return samples
        load.wait(SAMPLE_SECONDS)


def slope(samples: Points) -> float:
    """Return the growth of memory in MB per minute, without the warm-up.

    It is the slope of a least-squares line through samples of (seconds, MB); 0 for fewer than two
    samples.
    """
    warm = samples[int(WARM_SHARE * len(samples)) :]
    if len(warm) < 2:
        return 0.0
    seconds, memory = np.array(warm).T
    return float(np.polyfit(seconds / 60, memory, 1)[0])
