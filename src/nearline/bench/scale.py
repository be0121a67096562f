"""Scenario: growth of response time and memory with ten times the users, items or history."""

from collections.abc import Sequence
from dataclasses import dataclass

from nearline.bench.generate import ask, no_failure
from nearline.bench.harness import Server
from nearline.bench.plan import Figure, Plan, ScenarioReport, figure, repeated
from nearline.bench.shop import store

LARGER = 10
KB_A_USER = 2.0
AXES = ("users", "items", "history")


@dataclass(frozen=True)
class _Size:
    server_ms: float
    memory: float
    figures: list[Figure]


def run(plan: Plan, axes: Sequence[str] = AXES) -> ScenarioReport:
    """Measure fresh reads and memory with a base size and with ten times as much of one axis.

    Parameters
    ----------
    plan : Plan
        Parameters; the base has a tenth of its users and items.
    axes : sequence of str
        Sizes to multiply by ten, one at a time: ``users``, ``items`` or ``history``.
    """
    base = plan.sized(users=max(1, plan.users // LARGER), items=max(1, plan.items // LARGER))
    small = _measure(base, "base")
    figures, curves = list(small.figures), {}
    for axis in axes:
        before = getattr(base, axis)
        larger = base.sized(**{axis: LARGER * before})
        found = _measure(larger, f"{axis} x{LARGER}")
        figures += found.figures
        ratio = found.server_ms / small.server_ms
        figures.append(figure(f"growth of the answer's time, {axis} x{LARGER}", "", ratio))
        curves[axis] = [(1.0, small.server_ms), (float(LARGER), found.server_ms)]
        if axis == "users":
            more = larger.users - base.users
            each = (found.memory - small.memory) * 1e3 / more
            figures.append(figure("memory a user", "kB", each, at_most=KB_A_USER))
    notes = [
        f"base: {base.users:,} users, {base.items:,} items, {base.history} events per user",
        "memory is resident and private: pages of mapped files are not counted",
        "memory per user: growth of memory divided by the number of added users",
    ]
    return ScenarioReport(
        figures=figures,
        notes=notes,
        curves=curves,
        axes=("times the base", "server time, ms (p50)"),
    )


def _measure(plan: Plan, size: str) -> _Size:
    with Server.of(store(plan, "scale")) as server:
        memory = server.memory
        names = iter(range(plan.repeats + 1))

        def measure() -> list[Figure]:
            found = ask(plan, server.port, "pair", connections=1, name=f"scale{next(names)}")
            mine = no_failure(found)["read"]["server_ms"]
            return [
                figure(f"server time, p50, {size}", "ms", mine["p50"]),
                figure(f"server time, p99, {size}", "ms", mine["p99"]),
            ]

        figures = repeated(plan, f"scale, {size}", measure)
    figures.append(figure(f"memory at the start, {size}", "MB", memory))
    return _Size(figures[0].value, memory, figures)
