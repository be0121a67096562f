"""Evaluation on held-out data, shared by the commands `evaluate`, `compare`, `replay` and `demo`.

Commands import this module only when they run, because its imports are slow.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import click
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from nearline.common.progress import Progress
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
    without_item_fields,
)
from nearline.engine import Recommender
from nearline.evaluation import Report, compare, evaluate
from nearline.models.base import Model, Ranking
from nearline.models.popularity import Popularity, Trending
from nearline.schema import Item

TRENDING = "trending"
POPULARITY, GRAPH, GRAPH_AND_TEXT = "popularity", "item graph", "item graph + text"
GRAPH_AND_LANGUAGE = "item graph + text + language"

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
    """Clean interactions and a catalogue, which may be empty, to evaluate on."""

    name: str
    interactions: pa.Table
    items: list[Item]

    @property
    def has_text(self) -> bool:
        """Return whether any item has text."""
        return any(item.content for item in self.items)


@dataclass(frozen=True)
class TrainingParts:
    """Data that models are trained on.

    Attributes
    ----------
    fit : Dataset
        Training part.
    validation : Histories or None
        Interactions that select settings and are never trained on. None leaves the selection to
        the engine, which then trains on all of `fit`.
    """

    fit: Dataset
    validation: Histories | None


@dataclass(frozen=True)
class HeldOut:
    """Known and held-out interactions, one row per user each."""

    known: Histories
    truth: Histories


class SubjectTables:
    """Convert a subject to arrays, and arrays to tables that the engine reads.

    The engine does not distinguish kinds of events with equal weights, so the tables use one kind
    per weight.
    """

    def __init__(self, subject: Subject) -> None:
        weight = Config().state.weight
        kinds = subject.interactions["event"].unique().to_pylist()
        self._kinds = {np.float32(weight(kind)): kind for kind in kinds}
        self.data = make_dataset(subject.interactions, subject.items, weight)
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
        """Return `histories`, one row per user of `user_ids`, as a table of interactions."""
        users = np.repeat(np.arange(len(histories)), np.diff(histories.indptr))
        weights, codes = np.unique(histories.weights, return_inverse=True)
        kinds = pa.array([self._kinds[weight] for weight in weights], pa.string())
        item_ids = pa.array(self.data.item_ids, pa.string())
        return pa.table(
            {
                "user_id": pa.array(user_ids, pa.string()).take(pa.array(users)),
                "item_id": item_ids.take(pa.array(histories.items)),
                "timestamp": pa.array(histories.times),
                "event": kinds.take(pa.array(codes)),
            }
        )


class EngineModel:
    """Adapter that lets `evaluate` use the engine as a model with item indices."""

    def __init__(self, engine: Recommender, tables: SubjectTables) -> None:
        self.engine = engine
        self._tables = tables

    def recommend_from(self, histories: Histories, k: int, *, exclude_seen: bool = True) -> Ranking:
        """Return the top k items for each history."""
        rows = [str(row) for row in range(len(histories))]
        given = self._tables.interactions(histories, rows)
        found = self.engine.recommend_many(rows, k, given, exclude_seen=exclude_seen)
        where = (found["user_id"].cast(pa.int64()).to_numpy(), found["rank"].to_numpy() - 1)
        item_ids = pa.array(self._tables.data.item_ids, pa.string())
        items = np.full((len(rows), k), -1, dtype=np.int32)
        scores = np.zeros((len(rows), k), dtype=np.float32)
        items[where] = pc.index_in(found["item_id"], item_ids).to_numpy()
        scores[where] = found["score"].to_numpy()
        return Ranking(items, scores)


def load_subject(
    name: str,
    items_file: Path | None,
    columns: Mapping[str, str] | None,
    *,
    reading: Mapping[str, Any] | None = None,
    now: float,
    progress: Progress,
) -> Subject:
    """Load a public data set by its name, or read interactions and a catalogue from files.

    `reading` contains fields of `nearline.data.options.ReadOptions`.
    """
    if items_file is None and columns is None and not Path(name).suffix:
        notify = partial(click.echo, err=True)
        found = load_dataset(name, progress=progress, notify=notify)
        table, items = found.interactions, found.items
    else:
        own = without_item_fields(columns) if items_file else columns
        table = read_interactions(name, own, **(reading or {}))
        items = read_items(items_file, shared=columns, now=now)[0] if items_file else []
    table, _ = clean(table, now=now)
    return Subject(name, table, items)


def divide(
    data: Dataset, strategy: str, *, fraction: float, seed: int, strict: bool
) -> tuple[TrainingParts, HeldOut]:
    """Split off a test part and, for the strict protocol, a validation part in the same way."""
    split, rng = STRATEGIES[strategy], np.random.default_rng(seed)
    outer = split(data, fraction, rng)
    question = HeldOut(outer.train.histories, outer.test)
    if not strict:
        return TrainingParts(outer.train, None), question
    inner = split(outer.train, fraction, rng)
    return TrainingParts(inner.train, inner.test), question


def fit_engines(
    names: Sequence[str],
    tables: SubjectTables,
    parts: TrainingParts,
    *,
    seed: int,
    progress: Progress,
    encoder: str | None = None,
) -> dict[str, EngineModel]:
    """Fit one engine for each name; its clock shows the time of the newest training event.

    Only `GRAPH_AND_LANGUAGE` uses `encoder`.
    """
    now = float(parts.fit.histories.times.max(initial=0.0))
    engines = {}
    for name in names:
        users, validation = tables.data.user_ids, parts.validation
        language = encoder if name == GRAPH_AND_LANGUAGE else None
        engine = Recommender(encoder=language, clock=lambda: now).fit(
            tables.interactions(parts.fit.histories, users),
            items=None if name == GRAPH else tables.catalogue,
            validation=None if validation is None else tables.interactions(validation, users),
            seed=seed,
            progress=partial(_report_progress, progress, name),
        )
        engines[name] = EngineModel(engine, tables)
    return engines


def measure(
    engines: Mapping[str, EngineModel],
    parts: TrainingParts,
    question: HeldOut,
    *,
    k: int,
    seed: int,
    progress: Progress,
    exclude_seen: bool = True,
) -> dict[str, Report]:
    """Evaluate the baselines popularity and trending and each engine on the same held-out data."""
    models: dict[str, Model | EngineModel] = {
        POPULARITY: Popularity().fit(parts.fit),
        TRENDING: Trending().fit(parts.fit),
        **engines,
    }
    counts = np.bincount(parts.fit.histories.items, minlength=parts.fit.n_items)
    return {
        name: evaluate(
            model,
            question.known,
            question.truth,
            k=k,
            popularity=counts,
            exclude_seen=exclude_seen,
            rng=np.random.default_rng(seed),
            progress=partial(_report_progress, progress, name),
        )
        for name, model in models.items()
    }


def not_ahead(reports: Mapping[str, Report]) -> str:
    """Return a warning if a model is not significantly better than the baselines, otherwise ""."""
    baselines = (POPULARITY, TRENDING)
    for name, report in reports.items():
        behind = []
        for baseline in baselines:
            ndcg = f"ndcg@{report.k}"
            rng = np.random.default_rng(0)
            if name not in baselines and compare(report, reports[baseline], rng)[ndcg].low <= 0:
                behind.append(baseline)
        if behind:
            return f"Warning: {name} is not significantly better than {' and '.join(behind)}."
    return ""


def metric_rows(reports: Mapping[str, Report], *, digits: int) -> list[list[str]]:
    """Return a table of metrics by model: mean and, if there is one, the 95 % interval."""
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


def _report_progress(progress: Progress, name: str, done: int, total: int, what: str) -> None:
    progress(done, total, f"{name}: {what}")
