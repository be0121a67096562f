"""The demonstration of `nearline demo`: a comparison on a time split, and one list."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import click
import numpy as np

from nearline.cli.ask import reason, title_of
from nearline.cli.options import repeats
from nearline.cli.output import printable, write_table
from nearline.cli.study import (
    GRAPH,
    GRAPH_AND_TEXT,
    HeldOut,
    Subject,
    SubjectTables,
    divide,
    fit_engines,
    measure,
    metric_rows,
)
from nearline.common.counts import count
from nearline.common.progress import Progress
from nearline.data import Dataset, Histories, hold_out
from nearline.engine import Recommender
from nearline.errors import InvalidInput
from nearline.evaluation import Report
from nearline.schema import Recommendation

FRACTION = 0.2
K = 10
LAST_SHOWN = 5


@dataclass(frozen=True)
class Showcase:
    """Results that the demo shows.

    Attributes
    ----------
    n_train : int
        Number of interactions before the split.
    n_new : int
        Number of test users without a history before the split.
    later : dict of str to Report
        By model: prediction of all events after the split, from the histories at the split.
    live : dict of str to Report
        By model: prediction of the last event of each user, from all earlier events, without
        another training.
    engine : Recommender
        Engine of the last model, trained on the events before the split.
    past, future : list of str
        IDs of the items of the user before the split, oldest first, and after it.
    lines : sequence of Recommendation
        List for `user_id`, with reasons.
    """

    name: str
    data: Dataset
    n_train: int
    n_new: int
    later: dict[str, Report]
    live: dict[str, Report]
    engine: Recommender
    user_id: str
    past: list[str]
    future: list[str]
    lines: Sequence[Recommendation]


def make(subject: Subject, *, seed: int, progress: Progress, exclude_seen: bool = True) -> Showcase:
    """Train on the events before a point in time, and predict the events after it."""
    tables = SubjectTables(subject)
    data = tables.data
    parts, question = divide(data, "time", fraction=FRACTION, seed=seed, strict=False)
    names = [GRAPH] + [GRAPH_AND_TEXT] * subject.has_text
    engines = fit_engines(names, tables, parts, seed=seed, progress=progress)
    how: Any = {"k": K, "seed": seed, "progress": progress, "exclude_seen": exclude_seen}
    later = measure(engines, parts, question, **how)
    live = measure(engines, parts, _last_step(data, question), **how)
    engine, report = engines[names[-1]].engine, later[names[-1]]
    user = _median_user(report, question.known)
    return Showcase(
        name=subject.name,
        data=data,
        n_train=parts.fit.n_interactions,
        n_new=int((np.diff(question.known.indptr)[report.users] == 0).sum()),
        later=later,
        live=live,
        engine=engine,
        user_id=data.user_ids[user],
        past=[data.item_ids[item] for item in question.known.row(user)],
        future=[data.item_ids[item] for item in question.truth.row(user)],
        lines=engine.recommend(data.user_ids[user], K, explain=True, exclude_seen=exclude_seen),
    )


def as_dict(shown: Showcase) -> dict[str, Any]:
    """Return the results as plain values."""
    return {
        "data": shown.name,
        "split": "time",
        "fraction": FRACTION,
        "interactions": shown.data.n_interactions,
        "trained_on": shown.n_train,
        "new_users": shown.n_new,
        "after_the_split": {name: report.as_dict() for name, report in shown.later.items()},
        "last_step_live": {name: report.as_dict() for name, report in shown.live.items()},
        "user_id": shown.user_id,
        "items": [
            {
                "item_id": line.item_id,
                "title": title_of(shown.engine, line.item_id),
                "score": line.score,
                "tier": line.tier,
                "reasons": line.reasons,
                "came_true": line.item_id in shown.future,
            }
            for line in shown.lines
        ],
    }


def write(shown: Showcase) -> None:
    """Print the results as tables."""
    _write_comparison(shown)
    _write_list(shown)


def _write_comparison(shown: Showcase) -> None:
    data, n_users = shown.data, next(iter(shown.later.values())).n_users
    numbers = range(1, 1 + len(shown.later))
    click.echo(
        f"{shown.name}: {count(data.n_interactions, 'interaction')} of "
        f"{count(data.n_users, 'user')} with {count(data.n_items, 'item')}.\n"
        f"Global time split: trained on the oldest {shown.n_train:,}. "
        "All items are ranked; [95 % bootstrap interval].\n\n"
        f"1. All events of {count(n_users, 'user')} after the split, predicted from data before "
        f"it. New users among them: {shown.n_new:,}.\n"
    )
    write_table(metric_rows(shown.later, digits=3), numbers=numbers)
    report = next(iter(shown.later.values()))
    if report.n_unreachable:
        click.echo(f"\n{repeats(report.n_unreachable, report.n_relevant)}")
    click.echo(
        "\n2. The last event of each user, predicted from all earlier events without retraining.\n"
    )
    write_table(metric_rows(shown.live, digits=3), numbers=numbers)


def _write_list(shown: Showcase) -> None:
    engine = shown.engine
    last = [title_of(engine, item) or item for item in reversed(shown.past[-LAST_SHOWN:])]
    click.echo(
        f"\nUser {printable(shown.user_id)} (with the median NDCG in table 1) at the split: "
        f"{count(len(shown.past), 'item')},\nmost recently {printable('; '.join(last))}.\n"
    )
    rows = [["#", "recommended", "score", "largest parts of the score", "in test part"]]
    for place, line in enumerate(shown.lines, start=1):
        rows.append(
            [
                str(place),
                title_of(engine, line.item_id) or line.item_id,
                f"{line.score:#.4g}",
                "\n".join(reason(engine, part) for part in line.reasons),
                "yes" if line.item_id in shown.future else "",
            ]
        )
    write_table(rows, numbers=[0, 2])


def _last_step(data: Dataset, question: HeldOut) -> HeldOut:
    """Hold out the last event of each user who was active after the split."""
    last = np.zeros(data.n_interactions, dtype=np.bool_)
    active = np.diff(question.truth.indptr) > 0
    last[data.histories.indptr[1:][active] - 1] = True
    split = hold_out(data, last)
    return HeldOut(split.train.histories, split.test)


def _median_user(report: Report, known: Histories) -> int:
    """Return the user with the median NDCG among those with a history."""
    with_history = np.diff(known.indptr)[report.users] > 0
    if not with_history.any():
        raise InvalidInput(
            "no user has events both before and after the split at the newest fifth of the data; "
            "the demo needs returning users"
        )
    users, values = report.users[with_history], report.per_user[f"ndcg@{K}"][with_history]
    order = np.argsort(values, kind="stable")
    return int(users[order[len(order) // 2]])
