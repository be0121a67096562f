"""Clicks of lists that explore, relative to lists that don't, in a simulated shop.

    python -m benchmarks.exploration [--visits 50000] [--seeds 4] [--workers 2]

Both shops are engines in this process, with a store in memory and a simulated clock: the visits
spread evenly over 60 days. They begin empty, learn from every click, and differ only in `explore`.
Two worlds:

- *static*: tastes stay as they are, and all items are there from the beginning;
- *changing*: each visit replaces 2 % of the user's taste, and as many items as there are at the
  beginning arrive evenly.

Users see position p with probability 1 / p and don't tire of items, which would favour lists that
vary. For each seed, both shops get the same world; the interval of the mean ratio of expected
clicks is that of Student's t over the seeds. There are three runs per seed and world.
"""

import argparse
import os
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from typing import Any

import numpy as np
from benchmarks.machine import write

import nearline as nl
from nearline.schema import RecommendationRequest
from nearline.testing.closed_loop import ShopList, run_visits
from nearline.testing.simulator import SimulatedWorld, WorldConfig

START, DAYS, DAY = 1_700_000_000.0, 60, 86_400
# Visits and beginning items for each user; hours between two counts of what lists led to.
VISITS_PER_USER, ITEMS_PER_USER, REFRESH = 25, 0.4, 6
SCENARIO: dict[str, Any] = {"repeats": "include"}
POLICIES: dict[str, dict[str, Any]] = {
    "greedy": {},
    "epsilon": {"explore": {"method": "epsilon", "new": 0.1}},
    "thompson": {"explore": {"method": "thompson", "new": 0.1}},
}
TARGETS = {"static": 0.98, "changing": 1.1}


class EngineShop:
    """An engine in this process whose clock moves with the visits."""

    def __init__(self, scenario: dict[str, Any], step: float) -> None:
        self.now, self.step, self.refreshed = START, step, START
        self.rec = nl.Recommender(clock=lambda: self.now)
        self.rec.put_scenario("home", **scenario)
        self.learns = "explore" in scenario

    def put_items(self, entries: Sequence[dict[str, Any]]) -> None:
        """Add catalogue entries."""
        self.rec.put_items([nl.Item(timestamp=self.now, **entry) for entry in entries]).result()

    def recommend(self, user: str, k: int) -> ShopList:
        """Return a list of at most k items."""
        self.now += self.step
        if self.learns and self.now - self.refreshed >= REFRESH * 3_600:
            self.refreshed = self.now
            self.rec.refresh_outcomes()
        request = RecommendationRequest(user_id=user, k=k, scenario="home")
        answer = self.rec.answer(request)
        return ShopList(answer.recommendation_id, [line.item_id for line in answer.items])

    def click(self, user: str, items: Sequence[str], recommendation_id: str) -> None:
        """Report the clicks on a list."""
        for item in items:
            self.rec.observe(
                user_id=user,
                item_id=item,
                event="click",
                recommendation_id=recommendation_id,
                timestamp=self.now,
            )


def clicks(world: str, policy: str, seed: int, visits: int) -> float:
    """Return the expected clicks of all lists that a policy makes."""
    users = max(visits // VISITS_PER_USER, 20)
    items = min(max(int(users * ITEMS_PER_USER), 50), 500)
    changing = world == "changing"
    config = WorldConfig(users, items, fatigue=1.0, drift=0.02 if changing else 0.0, seed=seed)
    shop = EngineShop(SCENARIO | POLICIES[policy], DAYS * DAY / visits)
    with shop.rec:
        parts = run_visits(SimulatedWorld(config), shop, visits, new_items=items if changing else 0)
    return sum(part.expected for part in parts)


def summary(ratios: Sequence[float]) -> tuple[float, float, float]:
    """Return the mean of some ratios and the 95 % interval of Student's t."""
    from scipy.stats import t

    mean, n = float(np.mean(ratios)), len(ratios)
    if n < 2:
        return mean, -np.inf, np.inf
    radius = float(t.ppf(0.975, n - 1) * np.std(ratios, ddof=1) / np.sqrt(n))
    return mean, mean - radius, mean + radius


def main() -> None:
    """Print a line for each world and policy."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--visits", type=int, default=50_000)
    parser.add_argument("--seeds", type=int, default=4)
    parser.add_argument("--workers", type=int, default=len(os.sched_getaffinity(0)))
    given = parser.parse_args()
    rows: list[dict[str, Any]] = []
    seeds = range(given.seeds)
    with ProcessPoolExecutor(given.workers) as pool:
        runs = {
            (world, policy, seed): pool.submit(clicks, world, policy, seed, given.visits)
            for world in TARGETS
            for policy in POLICIES
            for seed in seeds
        }
        for world, target in TARGETS.items():
            greedy = [runs[world, "greedy", seed].result() for seed in seeds]
            for policy in list(POLICIES)[1:]:
                found = [runs[world, policy, seed].result() for seed in seeds]
                ratios = [one / base for one, base in zip(found, greedy, strict=True)]
                mean, low, high = summary(ratios)
                shown = f"{mean:.3f} [{low:.3f}, {high:.3f}]"
                name = f"{world}, {policy} / greedy"
                print(f"{name:<32} {shown:>24}  ≥ {target}", flush=True)
                rows.append({"figure": name, "found": mean, "low": low, "high": high})
    print(write("exploration", {"visits": given.visits, "seeds": given.seeds}, rows))


if __name__ == "__main__":
    main()
