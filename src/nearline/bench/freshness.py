"""Scenario: time from sending an event to receiving a list that reflects it."""

from nearline.bench.generate import ask, no_failure
from nearline.bench.harness import Server
from nearline.bench.plan import Figure, Plan, ScenarioReport, figure, repeated
from nearline.bench.shop import store

P50_MS, P99_MS = 2.0, 8.0


def run(plan: Plan) -> ScenarioReport:
    """Measure the time from sending an event to receiving the changed list, at the client.

    Each event is with the first item of the user's list, which must then be absent from the list.
    """
    with Server.of(store(plan, "freshness")) as server:
        names = iter(range(plan.repeats + 1))

        def measure() -> list[Figure]:
            found = ask(plan, server.port, "change", connections=1, name=f"change{next(names)}")
            change = no_failure(found)["change"]["ms"]
            return [
                figure("event to changed list, p50", "ms", change["p50"], at_most=P50_MS),
                figure("event to changed list, p99", "ms", change["p99"], at_most=P99_MS),
                figure("changes a second", "1/s", 1e3 / change["mean"]),
            ]

        figures = repeated(plan, "freshness", measure)
    notes = [
        "one connection: send, wait for the durable acknowledgement, read until the list changes"
    ]
    return ScenarioReport(figures=figures, notes=notes)
