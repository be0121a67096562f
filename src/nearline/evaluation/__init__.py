"""Evaluation of recommenders: metrics, confidence intervals, full ranking and comparisons."""

from nearline.evaluation.bootstrap import (
    Difference,
    Interval,
    mean_intervals,
    paired_differences,
)
from nearline.evaluation.metrics import (
    ACCURACY,
    Hits,
    average_precision,
    coverage,
    diversity,
    exposure,
    gini,
    hit_rate,
    judge,
    ndcg,
    novelty,
    precision,
    recall,
    reciprocal_rank,
    relevant_counts,
)
from nearline.evaluation.protocol import RanksItems, Report, compare, evaluate, table

__all__ = [
    "ACCURACY",
    "Difference",
    "Hits",
    "Interval",
    "RanksItems",
    "Report",
    "average_precision",
    "compare",
    "coverage",
    "diversity",
    "evaluate",
    "exposure",
    "gini",
    "hit_rate",
    "judge",
    "mean_intervals",
    "ndcg",
    "novelty",
    "paired_differences",
    "precision",
    "recall",
    "reciprocal_rank",
    "relevant_counts",
    "table",
]
