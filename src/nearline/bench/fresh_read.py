"""Scenario: reads just after an event of the same user, which cannot come from the cache."""

from nearline.bench.generate import ask, no_failure
from nearline.bench.harness import Server
from nearline.bench.plan import Figure, Plan, ScenarioReport, figure, repeated
from nearline.bench.shop import store

P50_MS, P99_MS, GROWTH = 1.0, 3.0, 2.0
LARGER = 10


def run(plan: Plan) -> ScenarioReport:
    """Measure the server time of fresh reads, with the plan's items and with ten times as many.

    There is a single connection, so that requests do not queue.
    """
    small, large = plan, plan.sized(items=LARGER * plan.items)
    figures = _measure(small, f"{small.items:,} items", targets=True)
    figures += _measure(large, f"{large.items:,} items", targets=False)
    for name in ("p50", "p99"):
        low, high = (
            next(one.value for one in figures if one.name == f"server time, {name}, {n:,} items")
            for n in (small.items, large.items)
        )
        figures.append(figure(f"growth of {name}", "", high / low, at_most=GROWTH))
    notes = ["server time is that of the header Server-Timing: from request head to response head"]
    return ScenarioReport(figures=figures, notes=notes)


def _measure(plan: Plan, size: str, *, targets: bool) -> list[Figure]:
    with Server.of(store(plan, "fresh-read")) as server:
        names = iter(range(plan.repeats + 1))

        def measure() -> list[Figure]:
            found = ask(plan, server.port, "pair", connections=1, name=f"fresh{next(names)}")
            read = no_failure(found)["read"]
            mine, seen = read["server_ms"], read["ms"]
            return [
                figure(
                    f"server time, p50, {size}",
                    "ms",
                    mine["p50"],
                    at_most=P50_MS if targets else None,
                ),
                figure(
                    f"server time, p99, {size}",
                    "ms",
                    mine["p99"],
                    at_most=P99_MS if targets else None,
                ),
                figure(f"client's time, p50, {size}", "ms", seen["p50"]),
                figure(f"client's time, p99, {size}", "ms", seen["p99"]),
                figure(f"pairs a second, {size}", "1/s", read["count"] / found["seconds"]),
            ]

        return repeated(plan, f"fresh reads, {size}", measure)
