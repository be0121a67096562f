"""Off-policy evaluation on the served log of a store."""

from collections.abc import Iterable, Sequence

import pyarrow as pa

from nearline.data.sources import Source
from nearline.errors import InvalidInput
from nearline.evaluation.experiments.results import kinds_of
from nearline.evaluation.off_policy.estimators import ESTIMATORS
from nearline.evaluation.off_policy.logged import LoggedRows, read_log
from nearline.evaluation.off_policy.policies import policy_of_column
from nearline.evaluation.off_policy.report import INDEPENDENT, PolicyReport, evaluate_log
from nearline.schema.experiments import CLICK
from nearline.served import Attributed, LoggedRow, logged_rows

# The policy that always takes the item with the highest score, and its column in the rows.
GREEDY = "greedy"


def evaluate_served(
    attributed: Iterable[Attributed],
    policy: Source,
    *,
    metric: str = CLICK,
    until: float | None = None,
    scenario: str | None = None,
    estimators: Sequence[str] = ESTIMATORS,
    lists: str = INDEPENDENT,
    seed: int = 0,
) -> PolicyReport:
    """Estimate what a policy would have earned, from served lists that explore.

    Parameters
    ----------
    attributed : iterable of Attributed
        Served lists with what they led to.
    policy : str, path, frame or TargetPolicy
        "greedy" is the same scores without exploration; else as for `evaluate_log`.
    metric, until, scenario : str, float or None, str or None
        See `served_rows`.
    estimators, lists, seed : sequence of str, str, int
        See `evaluate_log`.

    Raises
    ------
    InvalidInput
        No list explores, or an option is invalid.
    """
    log = served_rows(attributed, metric=metric, until=until, scenario=scenario)
    if isinstance(policy, str) and policy == GREEDY:
        policy = policy_of_column(GREEDY, log)._replace(name=GREEDY)
    return evaluate_log(log, policy, estimators=estimators, lists=lists, seed=seed)


def served_rows(
    attributed: Iterable[Attributed],
    *,
    metric: str = CLICK,
    until: float | None = None,
    scenario: str | None = None,
) -> LoggedRows:
    """Return the lines of served lists that explore, at the positions that are drawn.

    The first positions of a list are often kept as they are. They say nothing about other policies
    and are left out: a position counts if at least one list drew its item there.

    Parameters
    ----------
    attributed : iterable of Attributed
        Served lists with what they led to.
    metric : str
        Kind of event that is rewarded with 1. "click" includes views, opens and plays.
    until : float or None
        Only lists that were served before this time, in Unix seconds.
    scenario : str or None
        Only lists of this scenario.

    Returns
    -------
    LoggedRows
        Its table also has the column `greedy`, the probability of the item without exploration,
        given the lines above it: 1 or 0.

    Raises
    ------
    InvalidInput
        There is no such list.
    """
    chosen = [
        one
        for one in attributed
        if one.served.propensities is not None
        and (until is None or one.served.timestamp < until)
        and scenario in (None, one.served.scenario)
    ]
    rows = logged_rows(chosen, kinds_of(metric))
    drawn = {row.position for row in rows if row.propensity < 1.0}
    rows = [row for row in rows if row.position in drawn]
    if not rows:
        raise InvalidInput(
            "no served list with drawn items is known"
            f"{'' if scenario is None else f' for the scenario {scenario!r:.60}'}: a list without "
            "exploration says nothing about other policies. Store a scenario with explore, and "
            "serve its lists"
        )
    return read_log(_table(rows))


def _table(rows: Sequence[LoggedRow]) -> pa.Table:
    return pa.table(
        {
            "recommendation_id": [row.recommendation_id for row in rows],
            "user_id": pa.array([row.user_id for row in rows], pa.string()),
            "item_id": [row.item_id for row in rows],
            "position": [row.position for row in rows],
            "propensity": [row.propensity for row in rows],
            "reward": [row.reward for row in rows],
            "policy": [row.policy for row in rows],
            "variant": pa.array([row.variant for row in rows], pa.string()),
            GREEDY: [float(not row.explored) for row in rows],
        }
    )
