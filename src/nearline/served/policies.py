"""What the policies of a scenario led to, and the probabilities with which it chooses them."""

from collections.abc import Iterable, Mapping
from typing import NamedTuple

import numpy as np

from nearline.served.attribution import CLICKS, Attributed

# Samples of the posteriors; the standard error of a probability is at most 0.004.
SAMPLES = 20_000
CLICK = "click"


class PolicyCounts(NamedTuple):
    """Visits of a policy, and those with a success.

    A visit is a user in a time window of the scenario, however many lists were served to the user
    in it; for a session without a user, it is a list.
    """

    visits: int = 0
    successes: int = 0


def policy_counts(
    attributed: Iterable[Attributed], scenario: str, metric: str, window: int, until: float
) -> dict[str, PolicyCounts]:
    """Count the visits of each policy of a scenario, in lists that were served before a time.

    Parameters
    ----------
    metric : str
        Kind of event that counts as a success; "click" stands for all kinds that open an item.
    window : int
        Seconds for which a user keeps the policy.
    until : float
        Unix seconds.
    """
    kinds = CLICKS if metric == CLICK else (metric,)
    found = dict[str, dict[tuple[str, int], bool]]()
    for one in attributed:
        served = one.served
        if served.scenario != scenario or served.chosen is None or served.timestamp >= until:
            continue
        visit = (served.user_id or served.recommendation_id, int(served.timestamp // window))
        visits = found.setdefault(served.chosen, {})
        hit = any(led.kind in kinds and led.timestamp < until for led in one.outcomes)
        visits[visit] = visits.get(visit, False) or hit
    return {name: PolicyCounts(len(v), sum(v.values())) for name, v in found.items()}


def best_arm_probabilities(counts: Mapping[str, PolicyCounts], seed: int) -> dict[str, float]:
    """Return the probability that each policy has the highest rate of success.

    The rates have independent uniform priors, so their posteriors are Beta distributions, of which
    `SAMPLES` are drawn.
    """
    rng = np.random.default_rng(seed)
    wins = [one.successes + 1.0 for one in counts.values()]
    losses = [one.visits - one.successes + 1.0 for one in counts.values()]
    best = rng.beta(wins, losses, size=(SAMPLES, len(counts))).argmax(axis=1)
    shares = np.bincount(best, minlength=len(counts)) / SAMPLES
    return dict(zip(counts, shares.tolist(), strict=True))


def with_floor(best: Mapping[str, float], floor: float) -> dict[str, float]:
    """Return probabilities of policies that sum to 1: the given ones, mixed with a least one."""
    left = max(1.0 - floor * len(best), 0.0)
    return {name: floor + left * share for name, share in best.items()}
