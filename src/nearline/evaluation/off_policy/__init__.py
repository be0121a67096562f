"""Off-policy evaluation: what another policy would have earned, from the log of this one.

- `Log`: logged rows with propensities, as arrays; `read_log` makes it of a table;
- `target policies`: `uniform`, `policy_of_log`, `policy_of_table`, `policy_of_column`;
- `estimate`: IPS, SNIPS, DM, DR, SNDR, Switch-DR and DRos with intervals and effective sample size;
- `evaluate_log`: the whole analysis, per position, with a verdict.
"""

from nearline.evaluation.off_policy.estimators import (
    ESTIMATORS,
    Estimate,
    Rounds,
    effective_sample_size,
    estimate,
    slope,
)

__all__ = [
    "ESTIMATORS",
    "Estimate",
    "Rounds",
    "effective_sample_size",
    "estimate",
    "slope",
]
