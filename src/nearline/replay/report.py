"""Summary of a replay: means with intervals, differences of policies, and accuracy over time."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nearline.evaluation.bootstrap import LEVEL, RESAMPLES, Difference, Interval, resampled_means
from nearline.notebook.reports import bars_html, curves_html
from nearline.replay.prequential import ReplayOutcome

WINDOWS = 20
Values = NDArray[np.float64]


@dataclass(frozen=True)
class ReplayReport:
    """Accuracy of each policy in a replay, by the metrics ``ndcg`` and ``hit_rate`` at its k.

    Attributes
    ----------
    outcome : ReplayOutcome
        Ranks of the evaluated events.
    means : dict of str to dict of str to float
        Mean over all evaluated events, by metric and policy.
    intervals : dict of str to dict of str to Interval
        95 % bootstrap intervals of the means; users are resampled with all their events.
    differences : dict of str to dict of str to Difference
        Paired differences, the first policy minus each of the others.
    groups : list of dict
        Mean NDCG of four groups of events: of users who had events before the last retraining
        and of new users, each for the first event since the retraining and for later events.
    windows : list of dict
        Mean NDCG in consecutive periods with equal numbers of evaluated events.
    """

    outcome: ReplayOutcome
    means: dict[str, dict[str, float]]
    intervals: dict[str, dict[str, Interval]]
    differences: dict[str, dict[str, Difference]]
    groups: list[dict[str, Any]]
    windows: list[dict[str, Any]]

    def _repr_html_(self) -> str:
        name = f"ndcg@{self.outcome.k}"
        windows = {
            policy: [window["ndcg"][policy] for window in self.windows]
            for policy in self.outcome.policies
        }
        over_time = curves_html("Accuracy over time", windows, name)
        return over_time + bars_html(name, self.means["ndcg"], self.intervals["ndcg"])

    def as_dict(self) -> dict[str, Any]:
        """Return the summary, without single events, as JSON-serialisable types."""
        found = self.outcome
        return {
            "k": found.k,
            "n_evaluated": len(found.positions),
            "n_candidates": found.n_candidates,
            "n_replayed": found.n_learned,
            "n_users": int(found.users.max()) + 1,
            "retrainings": found.retrainings,
            "means": self.means,
            "intervals": {
                metric: {policy: list(bounds) for policy, bounds in by_policy.items()}
                for metric, by_policy in self.intervals.items()
            },
            "differences": {
                metric: {policy: each._asdict() for policy, each in by_policy.items()}
                for metric, by_policy in self.differences.items()
            },
            "groups": self.groups,
            "windows": self.windows,
        }


def gains(outcome: ReplayOutcome) -> dict[str, Values]:
    """Compute the metrics of each event and policy: dict of str to float64 [m, policies].

    Only the item of the event is relevant, so NDCG is 1 / log2(rank + 1), or 0 if it is not in the
    list.
    """
    found = outcome.ranks > 0
    ndcg = np.where(found, 1.0 / np.log2(np.maximum(outcome.ranks, 1) + 1.0), 0.0)
    return {"ndcg": ndcg, "hit_rate": found.astype(np.float64)}


def summarise(
    outcome: ReplayOutcome,
    rng: np.random.Generator,
    *,
    windows: int = WINDOWS,
    resamples: int = RESAMPLES,
) -> ReplayReport:
    """Summarise a replay, with bootstrap intervals over users.

    Parameters
    ----------
    outcome : ReplayOutcome
        Ranks of the evaluated events.
    rng : Generator
        Source of randomness of the bootstrap.
    windows : int
        Number of periods for the accuracy over time.
    resamples : int
        Number of bootstrap samples.

    Notes
    -----
    Events of a user are correlated, so users are resampled with all their events (cluster
    bootstrap). The mean of a sample is the sum over its events divided by their number.
    """
    values = gains(outcome)
    n_policies = len(outcome.policies)
    by_user = [_sum_by_user(outcome.users, each) for each in values.values()]
    counts = np.bincount(outcome.users).astype(np.float64)[:, None]
    drawn = resampled_means(np.hstack((*by_user, counts)), rng, resamples=resamples)
    ratios = drawn[:, :-1] / drawn[:, -1:]
    means: dict[str, dict[str, float]] = {}
    intervals: dict[str, dict[str, Interval]] = {}
    differences: dict[str, dict[str, Difference]] = {}
    for at, (metric, each) in enumerate(values.items()):
        mine = ratios[:, at * n_policies : (at + 1) * n_policies]
        mean = each.mean(axis=0)
        means[metric] = _by_policy(outcome, mean.tolist())
        intervals[metric] = _by_policy(
            outcome, [Interval(*_bounds(mine[:, a])) for a in range(n_policies)]
        )
        differences[metric] = {
            policy: Difference(float(mean[0] - mean[a]), *_bounds(mine[:, 0] - mine[:, a]))
            for a, policy in enumerate(outcome.policies)
            if a > 0
        }
    ndcg = values["ndcg"]
    return ReplayReport(
        outcome,
        means,
        intervals,
        differences,
        _groups(outcome, ndcg),
        _windows(outcome, ndcg, windows),
    )


def _groups(outcome: ReplayOutcome, ndcg: Values) -> list[dict[str, Any]]:
    groups = []
    for users, are in (("known last night", outcome.known), ("newcomers", ~outcome.known)):
        for events, stand in (("first of the day", outcome.first), ("later", ~outcome.first)):
            mine = are & stand
            if mine.any():
                mean = _by_policy(outcome, ndcg[mine].mean(axis=0).tolist())
                n_evaluated = int(mine.sum())
                groups.append(
                    {"users": users, "events": events, "n_evaluated": n_evaluated, "ndcg": mean}
                )
    return groups


def _windows(outcome: ReplayOutcome, ndcg: Values, windows: int) -> list[dict[str, Any]]:
    parts = np.array_split(np.arange(len(ndcg)), min(windows, len(ndcg)))
    return [
        {
            "from": float(outcome.times[part[0]]),
            "to": float(outcome.times[part[-1]]),
            "n_evaluated": len(part),
            "ndcg": _by_policy(outcome, ndcg[part].mean(axis=0).tolist()),
        }
        for part in parts
    ]


def _by_policy(outcome: ReplayOutcome, values: list[Any]) -> dict[str, Any]:
    return dict(zip(outcome.policies, values, strict=True))


def _sum_by_user(users: NDArray[np.int64], values: Values) -> Values:
    columns = [np.bincount(users, weights=values[:, a]) for a in range(values.shape[1])]
    return np.column_stack(columns)


def _bounds(samples: Values) -> tuple[float, float]:
    tail = (1.0 - LEVEL) / 2.0
    low, high = np.quantile(samples, [tail, 1.0 - tail])
    return float(low), float(high)
