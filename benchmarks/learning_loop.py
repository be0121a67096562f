"""Figures of the learning loop: estimators, propensities, experiments, interleaving, assignment.

    python -m benchmarks.learning_loop [NAME ...] [--data FOLDER]

Each line has a figure and its target. ``--data`` names the folder of the Open Bandit files
``men_random.parquet`` and ``men_bts.parquet``; without it, these lines are left out. Takes about
three minutes on two cores.

How much interleaving saves depends on the users. If users click one item at most or few, a worse
list loses few clicks as a whole, but its items lose to the better ones beside them; and if few
users make most visits, the mean of their clicks varies much. If clicks are independent of each
other and all users equally active, interleaving saves next to nothing. Users of these kinds:

- one click at most: the cascade model (N. Craswell et al., WSDM 2008), with position bias;
- few clicks: the dependent click model (F. Guo et al., WSDM 2009): after a click, users go on with
  probability 0.3;
- independent clicks, with the same position bias: the position-based model;
- independent clicks of users who are equally active: the simulator's default.

Except in the last row, the number of visits of a user has a log-normal distribution.

Each propensity line of milliseconds is a whole draw: samples of posteriors, where the method has
them, the list, and the probabilities. Posteriors are computed before, once in a time window.
"""

import argparse
import math
import os
import random
import time
from collections.abc import Callable, Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
from benchmarks.digits_protocol import PUBLISHED, mean_errors
from benchmarks.machine import write
from numpy.typing import NDArray

from nearline.common.assignment import bucket
from nearline.common.interleaving import team_draft
from nearline.evaluation.experiments import (
    ArmSums,
    compare_arms,
    compare_interleaved,
    mixture_radius,
    sample_ratio,
)
from nearline.evaluation.experiments.arms import arm_sums
from nearline.evaluation.off_policy import evaluate_log
from nearline.kernels.exploration import (
    Draw,
    epsilon_list,
    sampled_distribution,
    sampled_list,
    softmax_distribution,
    softmax_list,
)
from nearline.recommend.exploration import SAMPLES, WEIGHT_SAMPLES
from nearline.served.outcomes import ItemOutcomes, linear_prior, sampled_weights
from nearline.testing.simulator import SimulatedWorld, WorldConfig

Row = dict[str, Any]
LOOKS = 30


def row(name: str, found: float | str, target: str, reached: bool) -> Row:
    """Return one line of the table."""
    shown = found if isinstance(found, str) else f"{found:.4g}"
    return {"figure": name, "found": shown, "target": target, "reached": reached}


def digits(_: Path | None) -> Iterator[Row]:
    """Errors of the estimators against the published ones."""
    start = time.perf_counter()
    errors = mean_errors(30, workers=len(os.sched_getaffinity(0)))
    seconds = time.perf_counter() - start
    for name, published in PUBLISHED.items():
        near = abs(errors[name] / published - 1.0) <= 0.1
        yield row(f"digits, {name}", errors[name], f"{published:.4f} ± 10 %", near)
    yield row("digits, seconds", seconds, "≤ 60", seconds <= 60)


def open_bandit(data: Path | None) -> Iterator[Row]:
    """Men's campaign: random to Thompson, and Thompson to uniform."""
    if data is None:
        return
    logs = data / "men_random.parquet", data / "men_bts.parquet"
    report = evaluate_log(*logs)
    snips = report.total.estimates[1]
    covers = snips.low <= 0.0069 <= snips.high
    shown = f"{snips.value:.4f} [{snips.low:.4f}, {snips.high:.4f}]"
    yield row("open bandit, SNIPS random → Thompson", shown, "covers .0069", covers)
    report = evaluate_log(logs[1], "uniform")
    effective = round(report.total.effective)
    refused = report.conclusion is None and effective == 656
    yield row("open bandit, effective Thompson → uniform", effective, "656, warned", refused)


def propensities(_: Path | None) -> Iterator[Row]:
    """Frequencies of 200,000 draws of 50 arms against propensities; time of a list."""
    rng = np.random.default_rng(0)
    scores = rng.normal(size=50)
    samples = rng.normal(scores, 1.0, (64, 50))
    none = np.empty(0, dtype=np.int64)
    policies: dict[str, tuple[Callable[[int], Draw], NDArray[np.float64]]] = {
        "softmax": (
            lambda seed: softmax_list(scores, 1, temperature=0.7, seed=seed),
            softmax_distribution(scores, none, temperature=0.7),
        ),
        "epsilon": (
            lambda seed: epsilon_list(scores, 1, epsilon=0.2, seed=seed),
            sampled_distribution(scores[None], none, floor=0.2),
        ),
        "thompson": (
            lambda seed: sampled_list(scores, samples, 1, floor=0.02, seed=seed),
            sampled_distribution(samples, none, floor=0.02),
        ),
    }
    for name, (draw, expected) in policies.items():
        counts = np.zeros(50)
        for seed in range(200_000):
            counts[draw(seed).order[0]] += 1
        error = float(np.abs(counts / 200_000 - expected).max())
        summed = abs(expected.sum() - 1.0) < 1e-12
        yield row(
            f"propensities, {name}: largest error", error, "≤ .003", error <= 0.003 and summed
        )
    for name, draw in whole_lists(rng).items():
        took = milliseconds(draw)
        yield row(f"propensities, {name}: ms, 10 of 200", took, "≤ .1", took <= 0.1)


def whole_lists(rng: np.random.Generator) -> dict[str, Callable[[int], Draw]]:
    """Return functions that draw 10 of 200 items by each method as the engine does."""
    items, names = np.arange(200, dtype=np.int32), ("transitions", "coengagement", "content")
    scores = np.sort(rng.gamma(1.0, 1.0, 200))[::-1].copy()
    scores /= scores[0]
    parts = scores[:, None] * rng.dirichlet(np.ones(len(names)), 200)
    shown = rng.gamma(1.0, 100.0, 1_000)
    clicked = rng.binomial(shown.astype(np.int64), 0.05).astype(np.float64)
    linear = linear_prior(len(names), 0.05)
    linear.update(parts, rng.binomial(1, 0.05 * scores).astype(np.float64))
    outcomes = ItemOutcomes(0.0, shown, clicked, 0.05, names, linear)

    def thompson(seed: int) -> Draw:
        values = outcomes.samples(items, scores, SAMPLES, seed)
        return sampled_list(scores, values, 10, seed=seed, overwrite=True)

    def lints(seed: int) -> Draw:
        weights = sampled_weights(outcomes, names, WEIGHT_SAMPLES, seed)
        return sampled_list(scores, weights @ parts.T, 10, seed=seed, overwrite=True)

    return {
        "softmax": lambda seed: softmax_list(scores, 10, temperature=0.1, seed=seed),
        "softmax, rate and new": lambda seed: softmax_list(
            scores, 10, temperature=0.1, floor=0.05, new=0.1, n_new=20, seed=seed
        ),
        "epsilon": lambda seed: epsilon_list(scores, 10, epsilon=0.2, seed=seed),
        "thompson": thompson,
        "lints": lints,
    }


def milliseconds(draw: Callable[[int], Draw]) -> float:
    """Return the median over batches of the mean CPU time of a draw."""
    draw(0)
    batches = []
    for start in range(0, 10_000, 500):
        begin = time.process_time()
        for seed in range(start, start + 500):
            draw(seed)
        batches.append((time.process_time() - begin) * 2.0)
    return float(np.median(batches))


def looks(rates: tuple[float, float], n: int, runs: int, seed: int) -> NDArray[np.float64]:
    """Return z-scores of the difference at each look: [runs, LOOKS]."""
    rng = np.random.default_rng(seed)
    users = n // LOOKS * np.arange(1, LOOKS + 1)
    arms = [rng.binomial(n // LOOKS, rate, (runs, LOOKS)).cumsum(axis=1) for rate in rates]
    found = np.zeros((runs, LOOKS))
    for run in range(runs):
        for at, count in enumerate(users.tolist()):
            first, second = (
                ArmSums(count, float(arm[run, at]), float(arm[run, at])) for arm in arms
            )
            result = compare_arms(first, second, planned=2 * n)
            width = (result.high - result.difference) / mixture_radius(2 * count, 2 * n)
            found[run, at] = result.difference / width if width else 0.0
    return found


def experiments(_: Path | None) -> Iterator[Row]:
    """Measure false alarms, power, sample ratio and CUPED."""
    n = 6_000
    bounds = [mixture_radius(2 * n // LOOKS * at, 2 * n) for at in range(1, LOOKS + 1)]
    equal = np.abs(looks((0.1, 0.1), n, 4_000, 0))
    alarms = float((equal > bounds).any(axis=1).mean())
    naive = float((equal > 1.96).any(axis=1).mean())
    yield row("A/A, 4,000 x 30 looks: alarms", alarms, "≤ .05", alarms <= 0.05)
    yield row("A/A, the same by a z-test at each look", naive, "some .27", naive > 0.2)
    found = float((np.abs(looks((0.1, 0.12), n, 2_000, 1)) > bounds).any(axis=1).mean())
    yield row("power, 10 % + 20 %, 6,000 an arm", found, "≥ .70", found >= 0.7)
    rng = np.random.default_rng(2)
    for share, name, target in ((0.5, "false", "≤ .002"), (0.52, "found", "≥ .98")):
        counts = rng.binomial(20_000, share, 20_000)
        rate = float(np.mean([not sample_ratio([c, 20_000 - c], [1, 1]).sound for c in counts]))
        reached = rate <= 0.002 if share == 0.5 else rate >= 0.98
        yield row(f"sample ratio, 20,000 users: {name}", rate, target, reached)
    before = rng.normal(size=40_000)
    after = 0.7 * before + math.sqrt(0.51) * rng.normal(size=40_000)
    arms = [arm_sums(after[at::2], before[at::2]) for at in (0, 1)]
    ratio = compare_arms(arms[0], arms[1]).width_ratio
    yield row("CUPED, correlation .7: width", ratio, ".714 ± .02", abs(ratio - 0.714) <= 0.02)


# Users of the interleaving test: rate, patience, activity and position bias.
_SHOP = WorldConfig(300, 200, 0.1, position_bias=0.5, fatigue=1.0, activity=1.0)
USERS = {
    "one click at most, rate .1": _SHOP._replace(patience=0.0),
    "one click at most, rate .2": _SHOP._replace(patience=0.0, rate=0.2),
    "few clicks, rate .1": _SHOP._replace(patience=0.3),
    "independent clicks, rate .1": _SHOP,
    "independent clicks, equally active": WorldConfig(300, 200, 0.2, fatigue=1.0),
}
K, DRAFTS, RUNS = 10, 10, 15
MOST = 400_000


def interleaving(_: Path | None) -> Iterator[Row]:
    """Users until a decision: an A/B test of clicks against interleaving, medians."""
    for name, config in USERS.items():
        trial = Trial(config)
        ab = float(np.median([trial.users_of_ab() for _run in range(RUNS)]))
        mixed = float(np.median([trial.users_of_interleaving() for _run in range(RUNS)]))
        share = mixed / ab
        shown = f"{share:.3f} ({mixed:,.0f} of {ab:,.0f})"
        yield row(f"interleaving, {name}", shown, "≤ .125", share <= 0.125)


class Trial:
    """Two rankers, of which the second knows the tastes a little better, and users for them."""

    def __init__(self, config: WorldConfig) -> None:
        self.config, self.rng = config, np.random.default_rng(3)
        world = SimulatedWorld(config)
        n = config.users
        self.alone = np.zeros((2, n, K))
        self.mixed, self.teams = np.zeros((n, DRAFTS, K)), np.zeros((n, DRAFTS, K))
        for at, user in enumerate(world.users):
            truth = np.log(world.appeal(user))
            first, second = (
                [world.items[item] for item in np.argsort(self.rng.normal(-truth, noise))]
                for noise in (1.5, 1.2)
            )
            for side, ranked in enumerate((first, second)):
                self.alone[side, at] = world.looks(user, ranked[:K])
            for draft in range(DRAFTS):
                merged = team_draft(first, second, K, random.Random(at * DRAFTS + draft))
                self.mixed[at, draft] = world.looks(user, merged.items)
                self.teams[at, draft] = np.array(merged.teams) * 2 - 1

    def users_of_ab(self) -> int:
        """Return the number of users until the difference in clicks is significant."""
        arms, before = [ArmSums(), ArmSums()], 0
        for users in self.looks():
            half = (users - before) // 2
            for side in (0, 1):
                user, owner = self.visits(half)
                clicks = self.clicks(self.alone[side, user]).sum(axis=1)
                arms[side] = arms[side].plus(arm_sums(np.bincount(owner, clicks, half)))
            before = users
            if compare_arms(arms[0], arms[1]).significant:
                break
        return before

    def users_of_interleaving(self) -> int:
        """Return the number of users until the preference is significant."""
        total, before = ArmSums(), 0
        for users in self.looks():
            user, owner = self.visits(users - before)
            draft = self.rng.integers(DRAFTS, size=len(user))
            clicks = self.clicks(self.mixed[user, draft])
            credits = np.bincount(
                owner, (clicks * self.teams[user, draft]).sum(axis=1), users - before
            )
            total, before = total.plus(arm_sums(np.sign(credits))), users
            if compare_interleaved(total).significant:
                break
        return before

    def looks(self) -> Iterator[int]:
        """Yield the numbers of users at which the experiment is looked at."""
        users = 100
        while users < MOST:
            yield users
            users = int(users * 1.15)

    def visits(self, n: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Return for each visit of n users the kind of user, and which of the n it is."""
        spread = (
            np.exp(self.rng.normal(0.0, self.config.activity, n)) if self.config.activity else 0
        )
        counts = np.broadcast_to(1 + np.floor(spread).astype(np.int64), n)
        kind = self.rng.integers(self.config.users, size=n)
        return np.repeat(kind, counts), np.repeat(np.arange(n), counts)

    def clicks(self, looks: NDArray[np.float64]) -> NDArray[np.bool_]:
        """Draw the clicks of visits with these probabilities: bool [n, K]."""
        clicked = self.rng.random(looks.shape) < looks
        stopped = clicked & (self.rng.random(looks.shape) >= self.config.patience)
        return np.asarray(clicked & ((stopped.cumsum(axis=1) - stopped) == 0))


def assignment(_: Path | None) -> Iterator[Row]:
    """Hashes of 10,000 IDs against the package `growthbook`, if it is installed."""
    try:
        gbhash = import_module("growthbook.core").gbhash
    except ImportError:
        yield row("hash, IDs equal to growthbook", "not installed", "10,000", False)
        return
    rng = random.Random(4)
    letters = "abcXYZ019-_é漢😀 "
    ids = ["".join(rng.choices(letters, k=rng.randint(1, 20))) for _ in range(10_000)]
    equal = sum(bucket("experiment", unit) == gbhash("experiment", unit, 2) for unit in ids)
    yield row("hash, IDs equal to growthbook", f"{equal:,}", "10,000", equal == 10_000)


PARTS = {
    part.__name__: part
    for part in (digits, open_bandit, propensities, experiments, interleaving, assignment)
}


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("names", nargs="*", metavar="NAME", help=", ".join(PARTS))
    parser.add_argument("--data", type=Path, help="folder of the Open Bandit files")
    given = parser.parse_args()
    rows = []
    for name in given.names or PARTS:
        for line in PARTS[name](given.data):
            rows.append(line)
            mark = "" if line["reached"] else "  MISSED"
            print(f"{line['figure']:<45} {line['found']:>26}  {line['target']}{mark}", flush=True)
    if not given.names:
        print(write("learning_loop", {}, rows))


if __name__ == "__main__":
    main()
