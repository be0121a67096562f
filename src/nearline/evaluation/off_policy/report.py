"""The whole off-policy evaluation of one policy on one log, with a verdict."""

import math
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from nearline.data.sources import Source
from nearline.errors import InvalidInput
from nearline.evaluation.off_policy.estimators import (
    ESTIMATORS,
    Estimate,
    Rounds,
    effective_sample_size,
    estimate,
)
from nearline.evaluation.off_policy.logged import LoggedRows, read_log
from nearline.evaluation.off_policy.policies import TargetPolicy, read_policy
from nearline.evaluation.off_policy.rewards import predict_rewards

Doubles = NDArray[np.float64]

INDEPENDENT, CASCADE = "independent", "cascade"
LISTS = (INDEPENDENT, CASCADE)
# Fewer effective rows, absolutely or as a share of all rows, are too few for a conclusion.
FEWEST_EFFECTIVE = 100
SHARE_EFFECTIVE = 0.1
# The weights of a correct log have mean 1. Distance in standard errors that is an alarm.
ALARM = 4.0
# Share of the target policy's choices that the log may lack.
MAX_UNSUPPORTED = 0.05


class PolicyValue(NamedTuple):
    """Estimates for all rows, or for those of one position.

    Attributes
    ----------
    position : int or None
        The position; None for all.
    rows : int
        Number of rows.
    effective : float
        Effective sample size of the weights.
    logged : Estimate
        Mean reward of the logging policy, which was observed.
    estimates : list of Estimate
        Mean reward of a row under the target policy, by each estimator.
    """

    position: int | None
    rows: int
    effective: float
    logged: Estimate
    estimates: list[Estimate]


class PolicyReport(NamedTuple):
    """What a log says about another policy.

    Attributes
    ----------
    policy : str
        Name of the target policy.
    total : PolicyValue
        Estimates for all rows.
    positions : list of PolicyValue
        Estimates for each position; empty if there is only one.
    mean_weight : float
        Mean of the weights, 1 in expectation if the propensities are right and the log has all
        items that the target policy shows.
    unsupported : float
        Mean probability with which the target policy shows items that the log has nowhere at this
        position; 0 if only the probabilities of shown items are known.
    warnings : list of str
        Why no conclusion should be drawn; empty if one may be.
    conclusion : str or None
        "better", "worse" or "no significant difference", compared to the logging policy; None if
        there are warnings.
    """

    policy: str
    total: PolicyValue
    positions: list[PolicyValue]
    mean_weight: float
    unsupported: float
    warnings: list[str]
    conclusion: str | None

    def as_dict(self) -> dict[str, Any]:
        """Return the report as plain values."""
        parts = [self.total, *self.positions]
        values = [
            {
                **part._asdict(),
                "logged": part.logged._asdict(),
                "estimates": [
                    {**one._asdict(), "threshold": _finite(one.threshold)} for one in part.estimates
                ],
            }
            for part in parts
        ]
        return {**self._asdict(), "total": values[0], "positions": values[1:]}


def evaluate_log(
    log: Source,
    policy: Source,
    *,
    columns: Mapping[str, str] | None = None,
    estimators: Sequence[str] = ESTIMATORS,
    lists: str = INDEPENDENT,
    seed: int = 0,
) -> PolicyReport:
    """Estimate what a policy would have earned, from the log of another one.

    Parameters
    ----------
    log : path, frame or LoggedRows
        Logged rows; see `read_log`.
    policy : str, path, frame or TargetPolicy
        The target policy; see `nearline.evaluation.off_policy.policies`.
    columns : mapping of str to str, optional
        Names of the log's columns, by field.
    estimators : sequence of str
        Names from `ESTIMATORS`.
    lists : {"independent", "cascade"}
        How the lines of a list depend on each other. "independent" weights each line by itself:
        its reward depends on its item and position only. "cascade" multiplies the weights of the
        lines above: the reward may depend on them too, and the variance grows with the position.
    seed : int
        Seed of the folds of the model of the reward.

    Raises
    ------
    InvalidInput
        The log or the policy can't be read, or an option is invalid.

    Notes
    -----
    Takes O(n log n) time for n rows, and memory for positions times items.
    """
    if unknown := [name for name in estimators if name not in ESTIMATORS]:
        raise InvalidInput(
            f"estimators contains {unknown[0]!r}; choose from {', '.join(ESTIMATORS)}",
            field="estimators",
        )
    if lists not in LISTS:
        raise InvalidInput(f"lists is {lists!r}; choose from {', '.join(LISTS)}", field="lists")
    rows = log if isinstance(log, LoggedRows) else read_log(log, columns)
    if len(rows.item) < 2:
        raise InvalidInput("the log has one row; at least two are needed")
    target = read_policy(policy, rows)
    weight = target.shown / rows.propensity
    if lists == CASCADE:
        weight = cascade_weights(rows, weight)
    model = predict_rewards(rows, target, np.random.default_rng(seed))
    predicted, expected = model or (None, None)
    rounds = Rounds(rows.reward, weight, predicted, expected, rows.cluster)
    total = _value(None, rounds, estimators)
    positions = []
    if len(rows.positions) > 1:
        for at, number in enumerate(rows.positions):
            part = rounds.part(rows.position == at)
            if len(part.reward) > 1:
                positions.append(_value(number, part, estimators))
    unsupported = _unsupported(rows, target)
    warnings = _warnings(rounds, total, unsupported)
    return PolicyReport(
        target.name,
        total,
        positions,
        float(weight.mean()),
        unsupported,
        warnings,
        None if warnings else _conclusion(rounds),
    )


def cascade_weights(log: LoggedRows, weight: Doubles) -> Doubles:
    """Multiply the weight of each row by those of the rows above it in its list: float64 [n]."""
    order = np.lexsort((log.position, log.cluster))
    product, above = weight.copy(), 1.0
    for before, at in pairwise(order.tolist()):
        if log.cluster[before] != log.cluster[at]:
            above = 1.0
        elif log.position[before] != log.position[at]:  # else the same list, served again
            above = float(product[before])
        product[at] *= above
    return product


def _value(position: int | None, rounds: Rounds, names: Sequence[str]) -> PolicyValue:
    ones = np.ones(len(rounds.reward))
    (logged,) = estimate(Rounds(rounds.reward, ones, cluster=rounds.cluster), ["ips"])
    return PolicyValue(
        position,
        len(rounds.reward),
        effective_sample_size(rounds.weight),
        logged._replace(name="logged"),
        estimate(rounds, names),
    )


def _unsupported(log: LoggedRows, target: TargetPolicy) -> float:
    if target.table is None or target.row is None:
        return 0.0
    seen = np.zeros((len(log.positions), len(log.items)))
    seen[log.position, log.item] = 1.0
    covered = (target.table @ seen.T)[target.row, log.position]
    return float(1.0 - covered.mean())


def _warnings(rounds: Rounds, total: PolicyValue, unsupported: float) -> list[str]:
    found = []
    needed = max(FEWEST_EFFECTIVE, SHARE_EFFECTIVE * total.rows)
    if total.effective < needed:
        found.append(
            f"the effective sample size is {total.effective:,.0f} of {total.rows:,} rows; at least "
            f"{needed:,.0f} are needed. Few rows with large weights decide the estimates: log "
            "longer, or explore more in the direction of this policy"
        )
    (mean,) = estimate(Rounds(np.ones(total.rows), rounds.weight, cluster=rounds.cluster), ["ips"])
    error = (mean.high - mean.low) / 2.0 / 1.96
    if abs(mean.value - 1.0) > max(ALARM * error, 1e-9):
        found.append(
            f"the mean weight is {mean.value:.3f} and should be 1: propensities are wrong, or the "
            "log lacks items that this policy shows"
        )
    if unsupported > MAX_UNSUPPORTED:
        found.append(
            f"the log never shows {unsupported:.0%} of what this policy would show; weighting "
            "knows nothing about these items, and a model only guesses"
        )
    return found


def _conclusion(rounds: Rounds) -> str:
    """Compare the policies by the interval of the difference, by SNDR or else SNIPS."""
    weight, predicted, expected = rounds.weight, rounds.predicted, rounds.expected
    name = "snips" if predicted is None else "sndr"
    target = next(iter(estimate(rounds, [name])))
    normal = weight / (weight.mean() or 1.0)
    if predicted is None or expected is None:
        values = normal * (rounds.reward - target.value) + target.value - rounds.reward
    else:
        values = expected + normal * (rounds.reward - predicted) - rounds.reward
    (difference,) = estimate(Rounds(values, np.ones(len(values)), cluster=rounds.cluster), ["ips"])
    if difference.low > 0.0:
        return "better"
    return "worse" if difference.high < 0.0 else "no significant difference"


def _finite(threshold: float | None) -> float | str | None:
    """Return a threshold as JSON can hold it."""
    return "none" if threshold is not None and math.isinf(threshold) else threshold
