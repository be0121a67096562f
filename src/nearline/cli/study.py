"""Models held against each other on a held-out part: what `evaluate` and `demo` share.

Imports what is heavy, and is itself imported by these commands only when they run.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import click
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from nearline.config import Config
from nearline.data import (
    Dataset,
    Histories,
    Split,
    clean,
    cold_items,
    cold_users,
    leave_one_out,
    load_dataset,
    make_dataset,
    random_split,
    read_interactions,
    read_items,
    stratified_split,
    time_split,
    user_time_split,
)
from nearline.engine import Recommender
from nearline.evaluation import Report, evaluate, mean_intervals
from nearline.models.base import Model, Ranking
from nearline.models.popularity import Popularity
from nearline.progress import Progress
from nearline.schema import Item

POPULARITY, GRAPH, GRAPH_AND_TEXT = "popularity", "item graph", "item graph + text"

Strategy = Callable[[Dataset, float, np.random.Generator], Split]
STRATEGIES: dict[str, Strategy] = {
    "leave-one-out": lambda data, _fraction, _rng: leave_one_out(data),
    "time": lambda data, fraction, _rng: time_split(data, fraction),
    "user-time": lambda data, fraction, _rng: user_time_split(data, fraction),
    "random": random_split,
    "stratified": stratified_split,
    "cold-items": cold_items,
    "cold-users": cold_users,
}


@dataclass(frozen=True)
class Subject:
    """Clean interactions and a catalogue (perhaps empty) to evaluate on."""

    name: str
    interactions: pa.Table
    items: list[Item]

    @property
    def has_text(self) -> bool:
        """Whether any item has words."""
        return any(item.content for item in self.items)


@dataclass(frozen=True)
class Parts:
    """What each side of an evaluation may know.

    Attributes
    ----------
    fit : Dataset
        What models are trained on.
    validation : Histories or None
        What chooses their settings and is never trained on; None leaves the choice to the engine.
    known : Histories
        History of each user when the list is asked for.
    truth : Histories
        What each user did afterwards.
    """

    fit: Dataset
    validation: Histories | None
    known: Histories
    truth: Histories


class EngineModel:
    """The engine as `evaluate` sees a model: the public call behind dense indices."""

    def __init__(self, engine: Recommender, tables: "Tables") -> None:
        self.engine = engine
        self._tables = tables
        self._item_ids = pa.array(tables.item_ids, pa.string())

    def recommend(self, histories: Histories, k: int, *, exclude_seen: bool = True) -> Ranking:
        """Top-k items for each history."""
        rows = [str(row) for row in range(len(histories))]
        given = self._tables.interactions(histories, rows)
        found = self.engine.recommend_many(rows, k, given, exclude_seen=exclude_seen)
        where = (found["user_id"].cast(pa.int64()).to_numpy(), found["rank"].to_numpy() - 1)
        items = np.full((len(rows), k), -1, dtype=np.int32)
        scores = np.zeros((len(rows), k), dtype=np.float32)
        items[where] = pc.index_in(found["item_id"], self._item_ids).to_numpy()
        scores[where] = found["score"].to_numpy()
        return Ranking(items, scores)


class Tables:
    """Arrays back to the tables that the engine takes.

    Kinds of events of the same weight are the same to the engine, so one kind stands for all.
    """

    def __init__(self, subject: Subject, config: Config) -> None:
        kinds = subject.interactions["event"].unique().to_pylist()
        self._kinds = {np.float32(config.state.weight(kind)): kind for kind in kinds}
        self.data = make_dataset(subject.interactions, subject.items, config.state.weight)
        self.item_ids = self.data.item_ids
        self.catalogue = pa.table(
            {
                "item_id": pa.array([item.item_id for item in subject.items], pa.string()),
                "title": pa.array([item.title for item in subject.items], pa.string()),
                "text": pa.array([item.text for item in subject.items], pa.string()),
                "categories": pa.array(
                    [item.categories for item in subject.items], pa.list_(pa.string())
                ),
            }
        )

    def interactions(self, histories: Histories, user_ids: Sequence[str]) -> pa.Table:
        """Rows of `histories`, which belong to `user_ids`, as a table."""
        users = np.repeat(np.arange(len(histories)), np.diff(histories.indptr))
        weights, codes = np.unique(histories.weights, return_inverse=True)
        kinds = pa.array([self._kinds[weight] for weight in weights], pa.string())
        return pa.table(
            {
                "user_id": pa.array(user_ids, pa.string()).take(pa.array(users)),
                "item_id": pa.array(self.item_ids, pa.string()).take(pa.array(histories.items)),
                "timestamp": pa.array(histories.times),
                "event": kinds.take(pa.array(codes)),
            }
        )


@dataclass(frozen=True)
class Study:
    """An evaluation: its parts, the engines that took part, and what was found."""

    data: Dataset
    parts: Parts
    engines: dict[str, Recommender]
    reports: dict[str, Report]


def load_subject(
    name: str,
    items_file: Path | None,
    columns: Mapping[str, str] | None,
    *,
    now: float,
    progress: Progress,
) -> Subject:
    """Load a public data set by its name, or read interactions and a catalogue from files."""
    if items_file is None and columns is None and not Path(name).suffix:
        notify = partial(click.echo, err=True)
        found = load_dataset(name, progress=progress, notify=notify)
        table, items = found.interactions, found.items
    else:
        table = read_interactions(name, columns)
        items = read_items(items_file, now=now)[0] if items_file else []
    table, _ = clean(table, now=now)
    return Subject(name, table, items)


def divide(data: Dataset, strategy: str, *, fraction: float, seed: int, strict: bool) -> Parts:
    """Split once for the test part and, for the strict protocol, again for the validation part."""
    split, rng = STRATEGIES[strategy], np.random.default_rng(seed)
    outer = split(data, fraction, rng)
    if not strict:
        return Parts(outer.train, None, outer.train.histories, outer.test)
    inner = split(outer.train, fraction, rng)
    return Parts(inner.train, inner.test, outer.train.histories, outer.test)


def study(
    subject: Subject,
    models: Sequence[str],
    divide_data: Callable[[Dataset], Parts],
    *,
    k: int,
    seed: int,
    progress: Progress,
) -> Study:
    """Fit each of `models` on the same part and measure it on the same users."""
    tables = Tables(subject, Config())
    parts = divide_data(tables.data)
    counts = np.bincount(parts.known.items, minlength=tables.data.n_items)
    engines, reports = {}, {}
    for name in models:
        told = partial(_tell, progress, name)
        model: Model | EngineModel
        if name == POPULARITY:
            model = Popularity().fit(parts.fit)
        else:
            items = tables.catalogue if name == GRAPH_AND_TEXT else None
            engines[name] = _engine(tables, parts, items, seed=seed, progress=told)
            model = EngineModel(engines[name], tables)
        reports[name] = evaluate(
            model,
            parts.known,
            parts.truth,
            k=k,
            popularity=counts,
            rng=np.random.default_rng(seed),
            progress=told,
        )
    return Study(tables.data, parts, engines, reports)


def with_history(done: Study, *, seed: int) -> dict[str, Report]:
    """Narrow the reports to users who have a history; empty where there is none.

    Only accuracy is kept: what lists do as a whole is not a mean over users.
    """
    sizes = np.diff(done.parts.known.indptr)
    reports = {}
    for name, report in done.reports.items():
        keep = sizes[report.users] > 0
        if not keep.any():
            return {}
        per_user = {metric: values[keep] for metric, values in report.per_user.items()}
        reports[name] = replace(
            report,
            n_users=int(keep.sum()),
            n_skipped=report.n_skipped + int((~keep).sum()),
            means={metric: float(values.mean()) for metric, values in per_user.items()},
            intervals=mean_intervals(per_user, np.random.default_rng(seed)),
            users=report.users[keep],
            per_user=per_user,
        )
    return reports


def metric_rows(reports: Mapping[str, Report], *, digits: int) -> list[list[str]]:
    """One row a metric, one column a model: mean, and the 95 % interval where there is one."""
    names = dict.fromkeys(name for report in reports.values() for name in report.means)
    rows = [["", *reports]]
    for name in names:
        rows.append([name, *(_cell(report, name, digits) for report in reports.values())])
    return rows


def _cell(report: Report, metric: str, digits: int) -> str:
    if metric not in report.means:
        return "-"
    text = f"{report.means[metric]:.{digits}f}"
    if metric in report.intervals:
        low, high = report.intervals[metric]
        text += f" [{low:.{digits}f}, {high:.{digits}f}]"
    return text


def _engine(
    tables: Tables, parts: Parts, items: pa.Table | None, *, seed: int, progress: Progress
) -> Recommender:
    users = tables.data.user_ids
    validation = parts.validation
    return Recommender().fit(
        tables.interactions(parts.fit.histories, users),
        items=items,
        validation=None if validation is None else tables.interactions(validation, users),
        seed=seed,
        progress=progress,
    )


def _tell(progress: Progress, name: str, done: int, total: int, what: str) -> None:
    progress(done, total, f"{name}: {what}")
