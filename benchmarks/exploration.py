"""Clicks of lists that explore, relative to lists that don't, in a simulated shop.

    python -m benchmarks.exploration [--visits 50000] [--seeds 4] [--workers 2] [--first-seed 0]

Both shops are made of the parts of the engine, without a log on disk, threads and HTTP: the state,
the model before the first training, the pipeline, and the counts of what lists led to. The clock is
simulated: the visits spread evenly over 60 days. Shops begin empty, learn from every click, and
differ only in `explore`. Two worlds:

- *static*: tastes stay as they are, and all items are there from the beginning;
- *changing*: each visit replaces 2 % of the user's taste, and as many items as there are at the
  beginning arrive evenly.

Users see position p with probability 1 / p and don't tire of items, which would favour lists that
vary. For each seed, both shops get the same world; the interval of the mean ratio of expected
clicks is that of Student's t over the seeds. Constants of the method were chosen with other seeds,
from 100 on.
"""

import argparse
import os
from collections.abc import Iterable, Sequence
from concurrent.futures import ProcessPoolExecutor
from typing import Any

import numpy as np
from benchmarks.machine import write

from nearline.common.signing import Signer
from nearline.config import Config
from nearline.deployment.catch_up import catch_up
from nearline.deployment.restore import create_untrained
from nearline.engine.tracking import OUTCOME_DAYS
from nearline.log import MEMORY, open_log
from nearline.recommend.lists import View
from nearline.recommend.pipeline import known_history, make_query, run
from nearline.schema import Event, Item, ListOptions, Record
from nearline.schema.exploration import LEARNING
from nearline.served import Served
from nearline.served.outcome_counts import OutcomeCounts
from nearline.served.outcomes import ItemOutcomes, outcomes_of
from nearline.state import State
from nearline.testing.simulator import SimulatedWorld, WorldConfig

START, DAYS, DAY, HOUR = 1_700_000_000.0, 60, 86_400, 3_600.0
# Visits and beginning items for each user; length of lists.
VISITS_PER_USER, ITEMS_PER_USER, K = 25, 0.4, 10
POLICIES: dict[str, dict[str, Any]] = {
    "greedy": {},
    "thompson": {"method": "thompson", "keep_top": 0},
}
TARGETS = {"static": 0.98, "changing": 1.1}
# Entries of the catalogue that the model learns at once, not in a second thread.
AT_ONCE = 16


class Shop:
    """State, model, pipeline and counts, in which time moves with the visits."""

    def __init__(self, explore: dict[str, Any]) -> None:
        self.now, self.records = START, list[Record]()
        self.state, self.model = State(Config().state), create_untrained(Config())
        self._log = open_log(MEMORY)
        catch_up(self.model, self._log, self.state, offset=0, erasures=0)
        self.options = ListOptions(k=K, repeats="include", explore=explore or None)
        self.learns = explore.get("method") in LEARNING
        self._signer = Signer(b"a secret of this benchmark")
        self._served, self._taken = list[Served](), 0
        self._counts = OutcomeCounts(
            self._entries, self._read, lambda: len(self.records), {}, OUTCOME_DAYS
        )
        self._outcomes: ItemOutcomes | None = None

    def put_items(self, entries: Sequence[dict[str, Any]]) -> None:
        """Add catalogue entries."""
        for first in range(0, len(entries), AT_ONCE):
            some = entries[first : first + AT_ONCE]
            self._append([Item(timestamp=self.now, **entry) for entry in some])

    def recommend(self, user: str) -> list[str]:
        """Return a list."""
        if self.learns and (self._outcomes is None or self.now - self._outcomes.at >= HOUR):
            at = self.now // HOUR * HOUR
            self._counts.advance(at)
            items = self.state.items
            self._outcomes = outcomes_of(self._counts, items.slots, items.get, at)
        view = View(
            self.state,
            self.model,
            "untrained",
            self.now,
            signer=self._signer,
            outcomes=self._outcomes,
        )
        query = make_query(known_history(user, self.state), self.options, view, user_ids=[user])
        found = run(query).items[0]
        return self.state.items.ids_of(found[found >= 0])

    def show(self, user: str, items: Sequence[str], clicked: Iterable[str]) -> None:
        """Report that a user was shown a list and clicked some of its items."""
        name, offset = f"r{len(self._served)}-{self.now}", len(self.records)
        if self.learns:
            self._served.append(
                Served(
                    recommendation_id=name,
                    user_id=user,
                    timestamp=self.now,
                    item_ids=tuple(items),
                    tiers=(),
                    model="untrained",
                    offset=offset,
                )
            )
        self._append(
            [
                Event(
                    user_id=user,
                    item_id=item,
                    event="click",
                    timestamp=self.now,
                    recommendation_id=name,
                )
                for item in clicked
            ]
        )

    def close(self) -> None:
        """Close the log."""
        self._log.close()

    def _append(self, records: Sequence[Record]) -> None:
        if records:
            self.state.apply(list(enumerate(records, len(self.records))))
            self.records += records

    def _entries(self, since: float | None) -> list[Served]:
        first, self._taken = 0 if since is not None else self._taken, len(self._served)
        return [one for one in self._served[first:] if one.timestamp >= (since or 0.0)]

    def _read(self, offset: int) -> Iterable[tuple[int, Record]]:
        return enumerate(self.records[offset:], offset)


def clicks(world: str, policy: str, seed: int, visits: int) -> float:
    """Return the expected clicks of all lists that a policy makes."""
    users = max(visits // VISITS_PER_USER, 20)
    n_items = min(max(int(users * ITEMS_PER_USER), 50), 500)
    changing = world == "changing"
    config = WorldConfig(users, n_items, fatigue=1.0, drift=0.02 if changing else 0.0, seed=seed)
    simulated, shop = SimulatedWorld(config), Shop(POLICIES[policy])
    shop.put_items(simulated.catalogue())
    total = 0.0
    for number in range(1, visits + 1):
        shop.now = START + DAYS * DAY * number / visits
        due = n_items * number // visits + n_items - len(simulated.items) if changing else 0
        if due:
            shop.put_items(simulated.add_items(due))
        user = simulated.random_user()
        items = shop.recommend(user)
        total += float(simulated.probabilities(user, items).sum())
        shop.show(user, items, simulated.visit(user, items))
    shop.close()
    return total


def summary(ratios: Sequence[float]) -> tuple[float, float, float]:
    """Return the mean of some ratios and the 95 % interval of Student's t."""
    from scipy.stats import t

    mean, n = float(np.mean(ratios)), len(ratios)
    if n < 2:
        return mean, -np.inf, np.inf
    radius = float(t.ppf(0.975, n - 1) * np.std(ratios, ddof=1) / np.sqrt(n))
    return mean, mean - radius, mean + radius


def main() -> None:
    """Print a line for each run, and for each world and policy."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--visits", type=int, default=50_000)
    parser.add_argument("--seeds", type=int, default=4)
    parser.add_argument("--first-seed", type=int, default=0)
    parser.add_argument("--workers", type=int, default=len(os.sched_getaffinity(0)))
    given = parser.parse_args()
    seeds = range(given.first_seed, given.first_seed + given.seeds)
    with ProcessPoolExecutor(given.workers) as pool:
        runs = {
            (world, policy, seed): pool.submit(clicks, world, policy, seed, given.visits)
            for seed in seeds
            for world in TARGETS
            for policy in POLICIES
        }
        for (world, policy, seed), one in runs.items():
            print(f"{world}, {policy}, seed {seed}: {one.result():.0f} clicks", flush=True)
    rows: list[dict[str, Any]] = []
    for world, target in TARGETS.items():
        for policy in list(POLICIES)[1:]:
            ratios = [
                runs[world, policy, seed].result() / runs[world, "greedy", seed].result()
                for seed in seeds
            ]
            mean, low, high = summary(ratios)
            shown = f"{mean:.3f} [{low:.3f}, {high:.3f}]"
            name = f"{world}, {policy} / greedy"
            print(f"{name:<32} {shown:>24}  ≥ {target}", flush=True)
            row = {"figure": name, "found": mean, "low": low, "high": high, "runs": ratios}
            rows.append(row | {"seeds": list(seeds), "target": target, "reached": mean >= target})
    settings = {"visits": given.visits, "policies": POLICIES}
    print(write("exploration", settings, rows))


if __name__ == "__main__":
    main()
