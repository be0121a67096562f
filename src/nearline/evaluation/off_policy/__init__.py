"""Off-policy evaluation: what another policy would have earned, from the log of this one.

- `evaluate_log`: the whole analysis of a log and a policy, per position, with a verdict;
- `evaluate_served`: the same for the lists that a store served;
- `read_log`, `read_policy`: logged rows and target policies from files and frames;
- `estimate`: IPS, SNIPS, DM, DR, SNDR, Switch-DR and DRos from weights and predictions.
"""

from nearline.evaluation.off_policy.estimators import (
    ESTIMATORS,
    Estimate,
    Rounds,
    effective_sample_size,
    estimate,
    slope,
)
from nearline.evaluation.off_policy.logged import LoggedRows, read_log
from nearline.evaluation.off_policy.policies import TargetPolicy, read_policy
from nearline.evaluation.off_policy.report import (
    LISTS,
    PolicyReport,
    PolicyValue,
    cascade_weights,
    evaluate_log,
)
from nearline.evaluation.off_policy.served import evaluate_served, served_rows

__all__ = [
    "ESTIMATORS",
    "LISTS",
    "Estimate",
    "LoggedRows",
    "PolicyReport",
    "PolicyValue",
    "Rounds",
    "TargetPolicy",
    "cascade_weights",
    "effective_sample_size",
    "estimate",
    "evaluate_log",
    "evaluate_served",
    "read_log",
    "read_policy",
    "served_rows",
    "slope",
]
