"""What `nearline demo` shows: a comparison on a global time split, and one list with reasons."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import click
import numpy as np

from nearline.cli.ask import reason, title_of
from nearline.cli.output import printable, write_table
from nearline.cli.study import (
    GRAPH,
    GRAPH_AND_TEXT,
    POPULARITY,
    Study,
    Subject,
    divide,
    metric_rows,
    study,
    with_history,
)
from nearline.engine import Recommender
from nearline.evaluation import Report
from nearline.progress import Progress
from nearline.schema import Recommendation

FRACTION = 0.2
K = 10
LAST_SHOWN = 5


@dataclass(frozen=True)
class Showcase:
    """A study, and one user's list from its best engine.

    Attributes
    ----------
    known : dict of str to Report
        The study's reports, over the users with a history at the moment of the split only.
    past, future : list of str
        Item ids of what the user did before the split, oldest first, and after it.
    """

    subject: Subject
    done: Study
    known: dict[str, Report]
    engine: Recommender
    user_id: str
    past: list[str]
    future: list[str]
    list_items: Sequence[Recommendation]


def make(subject: Subject, seed: int, progress: Progress) -> Showcase:
    """Do all the work of the demo."""
    models = [POPULARITY, GRAPH] + [GRAPH_AND_TEXT] * subject.has_text
    split = partial(divide, strategy="time", fraction=FRACTION, seed=seed, strict=False)
    done = study(subject, models, split, k=K, seed=seed, progress=progress)
    engine = done.engines[models[-1]]
    user = _typical_user(done)
    user_id, parts = done.data.user_ids[user], done.parts
    return Showcase(
        subject=subject,
        done=done,
        known=with_history(done, seed=seed),
        engine=engine,
        user_id=user_id,
        past=[done.data.item_ids[item] for item in parts.known.row(user)],
        future=[done.data.item_ids[item] for item in parts.truth.row(user)],
        list_items=engine.recommend(user_id, K, explain=True),
    )


def as_dict(shown: Showcase) -> dict[str, Any]:
    """Everything shown, as plain values."""
    return {
        "data": shown.subject.name,
        "split": "time",
        "fraction": FRACTION,
        "protocol": "refit",
        "models": {name: report.as_dict() for name, report in shown.done.reports.items()},
        "users_with_a_history": {name: report.as_dict() for name, report in shown.known.items()},
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
            for line in shown.list_items
        ],
    }


def write(shown: Showcase) -> None:
    """Print tables for people."""
    _write_comparison(shown)
    _write_list(shown)


def _write_comparison(shown: Showcase) -> None:
    data, parts, reports = shown.done.data, shown.done.parts, shown.done.reports
    some = next(iter(reports.values()))
    columns = range(1, 1 + len(reports))
    click.echo(
        f"{shown.subject.name}: {data.n_interactions:,} interactions of {data.n_users:,} users "
        f"with {data.n_items:,} items.\nGlobal time split: trained on the oldest "
        f"{parts.fit.n_interactions:,}, asked to predict what {some.n_users:,} users did after."
        "\nEvery item is ranked; [95 % bootstrap interval].\n"
    )
    write_table(
        metric_rows(reports, digits=3), title=f"All {some.n_users:,} users", numbers=columns
    )
    known = next(iter(shown.known.values()), None)
    if known is not None:
        rows = metric_rows(shown.known, digits=3)
        title = f"The {known.n_users:,} of them who had a history at the split; the others were new"
        write_table(rows, title=title, numbers=columns)


def _write_list(shown: Showcase) -> None:
    engine = shown.engine
    last = [title_of(engine, item) or item for item in reversed(shown.past[-LAST_SHOWN:])]
    click.echo(
        f"User {printable(shown.user_id)} had chosen {len(shown.past)} items, most recently: "
        f"{printable('; '.join(last))}.\n"
    )
    rows = [["#", "title", "score", "largest parts of the score", "came true"]]
    for place, line in enumerate(shown.list_items, start=1):
        rows.append(
            [
                str(place),
                title_of(engine, line.item_id) or line.item_id,
                f"{line.score:.4g}",
                "\n".join(reason(engine, part) for part in line.reasons),
                "yes" if line.item_id in shown.future else "",
            ]
        )
    write_table(rows, title=f"Top {K} for user {printable(shown.user_id)}", numbers=[0, 2])


def _typical_user(done: Study) -> int:
    """User with a future whose history is of median length; the first of several."""
    sizes = np.diff(done.parts.known.indptr)
    candidates = np.flatnonzero((np.diff(done.parts.truth.indptr) > 0) & (sizes > 0))
    if len(candidates) == 0:
        return 0
    order = candidates[np.argsort(sizes[candidates], kind="stable")]
    return int(order[len(order) // 2])
