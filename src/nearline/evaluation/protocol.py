"""Full-ranking evaluation: all items are ranked for each user, except items of the history.

Items are not ranked against a sample of negatives, since such metrics are a poor estimate of
metrics over the full catalogue (W. Krichene, S. Rendle, "On sampled metrics for item
recommendation", KDD 2020).
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from nearline.common.counts import count
from nearline.common.progress import Progress, no_progress
from nearline.data.dataset import Histories, IntArray
from nearline.errors import InvalidInput
from nearline.evaluation.bootstrap import (
    LEVEL,
    RESAMPLES,
    Difference,
    Interval,
    mean_intervals,
    paired_differences,
)
from nearline.evaluation.metrics import (
    ACCURACY,
    Features,
    Values,
    contained,
    coverage,
    diversity,
    exposure,
    gini,
    judge,
    novelty,
    reached_already,
    relevant_counts,
)
from nearline.models.base import Ranking
from nearline.notebook.reports import bars_html

Recommend = Callable[[Histories], Ranking]


@runtime_checkable
class RanksItems(Protocol):
    """Protocol of objects that rank items for histories, such as `Model`."""

    def recommend_from(self, histories: Histories, k: int, *, exclude_seen: bool = True) -> Ranking:
        """Return the `k` best items for each history; by default, without items of the history."""
        ...


@dataclass(frozen=True)
class Report:
    """Result of an evaluation.

    Attributes
    ----------
    k : int
        Length of the lists.
    n_users : int
        Number of users with at least one relevant item; means are taken over these users.
    n_skipped : int
        Number of users without a relevant item, who are left out.
    exclude_seen : bool
        Whether items of the history were kept out of the lists.
    means : dict of str to float
        For k = 10: the accuracy metrics ``ndcg@10``, ``recall@10``, ``precision@10``, ``map@10``,
        ``mrr@10`` and ``hit_rate@10``, then ``coverage@10``, ``gini@10``, ``novelty@10`` and, if
        features were given, ``diversity@10``. A metric that is undefined for all lists is missing.
    intervals : dict of str to Interval
        95 % bootstrap intervals of the accuracy metrics.
    users : int64 [n_users]
        Rows of the histories that were evaluated.
    per_user : dict of str to float64 [n_users]
        Per-user values of the accuracy metrics, for paired comparisons.
    n_relevant : int
        Relevant items of all these users.
    n_seen : int
        Relevant items that are in the history of their user. If seen items are excluded, no list
        can contain them, so they count as misses.
    """

    k: int
    n_users: int
    n_skipped: int
    exclude_seen: bool
    means: dict[str, float]
    intervals: dict[str, Interval]
    users: NDArray[np.int64] = field(repr=False, compare=False)
    per_user: dict[str, Values] = field(repr=False, compare=False)
    n_relevant: int = 0
    n_seen: int = 0

    @property
    def n_unreachable(self) -> int:
        """Relevant items that no list can hold, since they are masked."""
        return self.n_seen if self.exclude_seen else 0

    def _repr_html_(self) -> str:
        about = [("users", f"{self.n_users:,}"), ("without a relevant item", f"{self.n_skipped:,}")]
        return bars_html("Evaluation", self.means, self.intervals, about=about)

    def as_dict(self) -> dict[str, Any]:
        """Return all fields except per-user values, as JSON-serialisable types."""
        return {
            "k": self.k,
            "n_users": self.n_users,
            "n_skipped": self.n_skipped,
            "exclude_seen": self.exclude_seen,
            "n_relevant": self.n_relevant,
            "n_unreachable": self.n_unreachable,
            "means": dict(self.means),
            "intervals": {name: list(bounds) for name, bounds in self.intervals.items()},
        }


def evaluate(
    model: RanksItems | Recommend,
    histories: Histories,
    truth: Histories,
    *,
    k: int = 10,
    popularity: NDArray[np.integer],
    features: "Features | None" = None,
    exclude_seen: bool = True,
    rng: np.random.Generator,
    block: int = 1024,
    progress: Progress = no_progress,
) -> Report:
    """Rank all items for each user who has a held-out item, and compute the metrics.

    Parameters
    ----------
    model : RanksItems or callable
        A model, or a function from histories to the `Ranking` of the best items. A function must
        itself leave out items of the histories if `exclude_seen` is set.
    histories, truth : Histories
        Known interactions and held-out interactions: one row per user, in the same order.
    k : int
        Length of the lists.
    popularity : int [n_items]
        Number of training interactions of each item; its length is the size of the catalogue.
    features : float [n_items, d], dense or CSR, or None
        Item vectors used to measure the diversity of lists.
    exclude_seen : bool
        Whether lists must not contain items of the history.
    rng : Generator
        Source of randomness of the bootstrap; the same state gives the same intervals.
    block : int
        Number of users for whom items are ranked in one call of the model.
    progress : callable
        Progress callback, called after each block.

    Raises
    ------
    InvalidInput
        No user has a held-out item, the numbers of rows differ, or a list is invalid: it contains
        an item twice, an item outside the catalogue, or an item of the history although
        `exclude_seen` is set.
    """
    if len(histories) != len(truth):
        raise InvalidInput(
            f"there are {len(histories)} histories and {len(truth)} rows of truth; "
            "give one row per user in both",
            field="truth",
        )
    recommend: Recommend = (
        partial(model.recommend_from, k=k, exclude_seen=exclude_seen)
        if isinstance(model, RanksItems)
        else model
    )
    users = _users_with_held_out_items(truth)
    n_skipped = len(truth) - len(users)
    histories, truth = histories.select(users), truth.select(users)
    lists = _recommend_in_blocks(recommend, histories, k, block, progress)
    _check_lists(lists, histories, len(popularity), exclude_seen=exclude_seen)

    hits = judge(lists, truth, k)
    per_user = {f"{name}@{k}": metric(hits) for name, metric in ACCURACY.items()}
    means = {name: float(values.mean()) for name, values in per_user.items()}
    means |= _list_means(lists, k, popularity, features)
    return Report(
        k=k,
        n_users=len(users),
        n_skipped=n_skipped,
        exclude_seen=exclude_seen,
        means=means,
        intervals=mean_intervals(per_user, rng),
        users=users,
        per_user=per_user,
        n_relevant=int(relevant_counts(truth).sum()),
        n_seen=reached_already(truth, histories),
    )


def compare(
    first: Report,
    second: Report,
    rng: np.random.Generator,
    *,
    level: float = LEVEL,
    resamples: int = RESAMPLES,
) -> dict[str, Difference]:
    """Compute paired differences, first minus second, of the accuracy metrics of two reports.

    Parameters
    ----------
    first, second : Report
        Reports of the same users with the same k.
    rng : Generator
        Source of randomness of the bootstrap.
    level : float
        Confidence level, between 0 and 1.
    resamples : int
        Number of bootstrap samples.

    Returns
    -------
    dict of str to Difference
        Mean difference with its interval, by metric.

    Raises
    ------
    InvalidInput
        The reports differ in users or k.
    """
    if first.k != second.k or not np.array_equal(first.users, second.users):
        raise InvalidInput(
            f"the reports are over {first.n_users} users at k={first.k} and "
            f"{second.n_users} users at k={second.k}; evaluate both on the same users and k"
        )
    return paired_differences(
        first.per_user, second.per_user, rng, level=level, resamples=resamples
    )


def table(reports: Mapping[str, Report]) -> list[list[str]]:
    """Format reports by name as a table with the columns model, users and all metrics.

    The first row is the header. A cell with an interval has the form ``0.0518 [0.0497, 0.0540]``;
    the cell of a missing metric is ``-``.
    """
    metrics = list(dict.fromkeys(name for report in reports.values() for name in report.means))
    rows = [["model", "users", *metrics]]
    for name, report in reports.items():
        cells = [_cell(report, metric) for metric in metrics]
        rows.append([name, f"{report.n_users:,}", *cells])
    return rows


def _cell(report: Report, metric: str) -> str:
    if metric not in report.means:
        return "-"
    text = f"{report.means[metric]:.4f}"
    if metric in report.intervals:
        low, high = report.intervals[metric]
        text += f" [{low:.4f}, {high:.4f}]"
    return text


def _users_with_held_out_items(truth: Histories) -> NDArray[np.int64]:
    users = np.flatnonzero(relevant_counts(truth))
    if len(users) == 0:
        raise InvalidInput(
            f"none of {count(len(truth), 'user')} has a relevant item; split off a test part first",
            field="truth",
        )
    return users


def _recommend_in_blocks(
    recommend: Recommend, histories: Histories, k: int, block: int, progress: Progress
) -> IntArray:
    """Rank items for all histories: int32 [n, k], padded with -1."""
    n = len(histories)
    lists = np.full((n, k), -1, dtype=np.int32)
    for start in range(0, n, block):
        stop = min(start + block, n)
        items = recommend(histories.select(np.arange(start, stop))).items[:, :k]
        if len(items) != stop - start:
            raise InvalidInput(
                f"the model returned {len(items)} lists for {stop - start} users; "
                "it must return one list per history",
                field="model",
            )
        lists[start:stop, : items.shape[1]] = items
        progress(stop, n, "evaluate")
    return lists


def _check_lists(
    lists: IntArray, histories: Histories, n_items: int, *, exclude_seen: bool
) -> None:
    highest = int(lists.max(initial=-1))
    if highest >= n_items:
        raise InvalidInput(
            f"a list contains item {highest}, but popularity has {n_items} items; "
            "give the counts of the catalogue that the model was fitted on",
            field="popularity",
        )
    if exclude_seen and contained(lists, histories).any():
        raise InvalidInput(
            "a list contains an item of its user's history; mask seen items in the model, "
            "or evaluate with exclude_seen=False",
            field="model",
        )


def _list_means(
    lists: IntArray, k: int, popularity: NDArray[np.integer], features: "Features | None"
) -> dict[str, float]:
    """Compute the metrics that do not depend on held-out items; leave out undefined ones."""
    shown = exposure(lists, len(popularity))
    means = {f"coverage@{k}": coverage(shown), f"gini@{k}": gini(shown)}
    defined_by_some = {"novelty": novelty(lists, popularity)}
    if features is not None:
        defined_by_some["diversity"] = diversity(lists, features)
    for name, values in defined_by_some.items():
        defined = values[~np.isnan(values)]
        if len(defined):
            means[f"{name}@{k}"] = float(defined.mean())
    return means
