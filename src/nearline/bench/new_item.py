"""Scenario: time from adding an item with text to receiving a list that contains it."""

from nearline.bench.generate import ask, no_failure
from nearline.bench.harness import Server
from nearline.bench.plan import Figure, Plan, ScenarioReport, figure, repeated
from nearline.bench.shop import store

P99_MS = 50.0
# Lists are long because items similar to the rest of the user's history rank above the new item.
K = 100


def run(plan: Plan) -> ScenarioReport:
    """Measure the time from sending a new item to receiving a list with it, at the client."""
    with Server.of(store(plan, "new-item", texts=True)) as server:
        names = iter(range(plan.repeats + 1))

        def measure() -> list[Figure]:
            given = {"connections": 1, "name": f"new{next(names)}", "k": K}
            new = no_failure(ask(plan, server.port, "introduce", **given))["new item"]["ms"]
            return [
                figure("PUT to recommended, p50", "ms", new["p50"]),
                figure("PUT to recommended, p99", "ms", new["p99"], at_most=P99_MS),
            ]

        figures = repeated(plan, "new items", measure)
    notes = [
        f"lists of {K}; the catalogue has {plan.items:,} texts",
        "each new item is deleted after it was recommended",
    ]
    return ScenarioReport(figures=figures, notes=notes)
