"""The command that compares models."""

import time
from contextlib import closing, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from nearline.cli.evaluate import SPLITS
from nearline.cli.options import (
    chosen_repeats,
    column_option,
    encoder_option,
    example,
    include_seen_option,
    items_option,
    json_option,
    k_option,
    picture_option,
    repeats,
    seed_option,
)
from nearline.cli.output import progress_bars, write_json, write_table
from nearline.cli.ranges import FloatRange, IntRange
from nearline.cli.reading import reading_options
from nearline.common.counts import count
from nearline.errors import InvalidInput
from nearline.schema.rules import AUTO

if TYPE_CHECKING:
    from nearline.common.progress import Progress
    from nearline.data import Dataset, Split
    from nearline.evaluation.comparison import Comparison
    from nearline.evaluation.rating_comparison import RatingComparison


FOLDS = 5
# Models that every comparison of lists contains.
BASELINES = ("popularity", "trending")
# Share of held-out items in the histories from which on `--repeats auto` includes seen items.
OFTEN = 0.1
# Share of the training part of a fold on which the search measures accuracy.
VALIDATION_SHARE = 0.1


def _names(_ctx: click.Context, _parameter: click.Parameter, given: str | None) -> object:
    if given is None:
        return ()
    names = tuple(dict.fromkeys(name.strip() for name in given.split(",")))
    if not all(names):
        raise click.BadParameter(f"{given!r} has an empty name; for example, write popularity,ease")
    return names


@click.command(
    epilog=example(
        "nearline compare movielens-100k --split stratified --fraction 0.25 --picture all.svg",
        "nearline compare events.csv --items items.csv --models popularity,ease,item_graph",
        "nearline compare movielens-100k --ratings",
        "nearline compare amazon-beauty --models content,item_graph --encoder auto",
        "nearline compare online-retail --large --picture large.svg",
    )
)
@click.argument("data")
@items_option
@column_option
@reading_options
@click.option(
    "--models",
    "names",
    callback=_names,
    metavar="NAME,...",
    help="Models to compare (see `nearline models`). Default: all; models that cannot use the data "
    "are skipped and listed.",
)
@click.option(
    "--large",
    is_flag=True,
    help="Compare classical, neural and large models and their blend, also for cold users and rare "
    "items. Needs the extra neural; takes minutes to hours.",
)
@click.option(
    "--users",
    type=IntRange(min=1),
    default=5_000,
    show_default=True,
    metavar="N",
    help="With --large: maximum number of test users, sampled at random.",
)
@click.option("--ratings", is_flag=True, help="Compare predicted ratings instead of lists.")
@click.option(
    "--split",
    type=click.Choice(SPLITS),
    help="Test split. Default: leave-one-out; for ratings, five random folds.",
)
@click.option(
    "--fraction",
    type=FloatRange(0, 1, min_open=True, max_open=True),
    default=0.2,
    show_default=True,
    help="Share of the data that is held out; not used by leave-one-out and folds.",
)
@click.option(
    "--search",
    type=IntRange(min=0),
    default=0,
    show_default=True,
    metavar="N",
    help="Number of settings to try for each model, on a part of the training data.",
)
@encoder_option
@include_seen_option
@k_option
@picture_option
@seed_option
@json_option
def compare(
    data: str,
    items_file: Path | None,
    columns: dict[str, str] | None,
    reading: dict[str, Any],
    picture: Path | None,
    encoder: str | None,
    as_json: bool,
    **question: Any,
) -> None:
    """Compare the accuracy, time and memory of models on a data set or on files.

    DATA is a file of interactions or the name of a data set, as for `nearline evaluate`. All models
    are trained on the same part and tested on the same users. All items are ranked, except items
    of the user's history, unless --include-seen is given.
    """
    from nearline.cli.study import SubjectTables, load_subject
    from nearline.common.pictures import check_picture
    from nearline.config import Config
    from nearline.deployment.texts import open_texts, with_language
    from nearline.evaluation.picture import draw

    if picture is not None:
        check_picture(picture)  # fail before the comparison runs
    _check(encoder=encoder, **question)
    if question["large"]:
        encoder = encoder or "auto"
    if not question["ratings"]:
        question["split"] = question["split"] or "leave-one-out"
    with progress_bars() as progress:
        subject = load_subject(
            data, items_file, columns, reading=reading, now=time.time(), progress=progress
        )
        texts = open_texts(Config(encoder=encoder), None)
        with closing(texts) if texts else nullcontext():
            dataset = with_language(SubjectTables(subject).data, texts, progress)
        measured = _compare_large if question["large"] else _compare
        found = measured(dataset, progress=progress, **question)
    how = _how(**question)
    size = f"{count(dataset.n_interactions, 'interaction')}, {count(dataset.n_users, 'user')}"
    title = f"{subject.name}: {size}, {count(dataset.n_items, 'item')}. {how}."
    if picture is not None:
        draw(found, picture, title)
    if as_json:
        write_json(
            {
                "data": subject.name,
                **{name: value for name, value in question.items() if name != "names"},
                "metric": found.metric,
                "models": [entry.as_dict() for entry in found.entries],
                "left_out": found.left_out,
            }
        )
        return
    click.echo(title)
    _write(found)


def _check(
    *, names: tuple[str, ...], large: bool, ratings: bool, split: str | None, **_: Any
) -> None:
    if large and (names or ratings or split not in (None, "leave-one-out")):
        raise click.UsageError(
            "--large has a fixed list of models and leaves one out; "
            "use it without --models, --ratings and --split"
        )


def _how(
    *, split: str | None, fraction: float, search: int, large: bool, users: int, **_: Any
) -> str:
    """Describe how the models were compared; `split` is None for random folds."""
    if split is None:
        held_out = f"{FOLDS} random folds"
    else:
        held_out = f"Split {split}" + ("" if split == "leave-one-out" else f", {fraction:g} of it")
    tuned = f"{count(search, 'setting')} tried for each" if search else "default settings"
    if large:
        held_out += f", at most {count(users, 'test user')}"
        tuned += "; each model is tuned and stopped early on validation data"
    return f"{held_out}; {tuned}"


def _compare(
    data: "Dataset",
    *,
    names: tuple[str, ...],
    ratings: bool,
    split: str | None,
    fraction: float,
    search: int,
    include_seen: bool,
    k: int,
    seed: int,
    progress: "Progress",
    **_: Any,
) -> "Comparison | RatingComparison":
    import numpy as np

    from nearline.cli.study import STRATEGIES
    from nearline.data import random_folds, random_split
    from nearline.evaluation.comparison import compare_models
    from nearline.evaluation.rating_comparison import compare_ratings
    from nearline.models.registry import discover, make_model
    from nearline.training.search import list_score, rating_score, tuner

    def carve(part: "Dataset") -> "Split":
        rng = np.random.default_rng(seed)
        if split is None:
            return random_split(part, VALIDATION_SHARE, rng)
        return STRATEGIES[split](part, fraction, rng)

    folded = split is None
    data = data.rated() if ratings else data
    if not data.n_interactions:
        raise InvalidInput(
            "no interaction has a rating to predict; name the column of ratings with "
            "--column value=NAME",
            field="value",
        )
    score = rating_score if ratings else list_score
    options: Any = {
        "tune": tuner(carve, trials=search, seed=seed, score=score) if search else None,
        "required": names,
        "seed": seed,
        "progress": progress,
    }
    known = discover()
    missing = [name for name in BASELINES if name in known and name not in names]
    chosen = [*names, *missing] if names else list(known)
    models = [make_model(name, {}) for name in (names if ratings and names else chosen)]
    if not ratings:
        parts = carve(data)
        if chosen_repeats() == AUTO:
            include_seen = _repeats_often(parts)
        return compare_models(models, parts, k=k, exclude_seen=not include_seen, **options)
    if folded:
        return compare_ratings(
            models, random_folds(data, FOLDS, np.random.default_rng(seed)), **options
        )
    return compare_ratings(models, [carve(data)], **options)


def _compare_large(
    data: "Dataset",
    *,
    users: int,
    search: int,
    include_seen: bool,
    k: int,
    seed: int,
    progress: "Progress",
    **_: Any,
) -> "Comparison":
    from nearline.config import BEST, BEST_MODEL
    from nearline.data import leave_one_out
    from nearline.evaluation.comparison import compare_models
    from nearline.evaluation.lineup import cold_scenarios, contestants, sample_test_users
    from nearline.models.registry import make_model
    from nearline.training.search import tuner

    split = sample_test_users(leave_one_out(data), users, seed)
    return compare_models(
        contestants(make_model(BEST_MODEL, BEST)),
        split,
        k=k,
        also=cold_scenarios(split),
        exclude_seen=not include_seen,
        tune=tuner(leave_one_out, trials=search, seed=seed, own=True),
        seed=seed,
        progress=progress,
    )


def _repeats_often(split: "Split") -> bool:
    """Return whether the test part often repeats items of the histories."""
    from nearline.evaluation import relevant_counts
    from nearline.evaluation.metrics import reached_already

    relevant = int(relevant_counts(split.test).sum())
    return reached_already(split.test, split.train.histories) >= OFTEN * max(relevant, 1)


def _not_ahead(found: "Comparison") -> str:
    """Return a warning if the best model is not significantly better than the baselines."""
    best = found.entries[0].model
    near = [
        entry.model
        for entry in found.entries
        if entry.model in BASELINES and (entry.behind is None or entry.behind.high >= 0)
    ]
    if best in near:
        return f"Warning: no model is better than {best}."
    if near:
        return f"Warning: {best} is not significantly better than {' and '.join(near)}."
    return ""


def _write(found: "Comparison | RatingComparison") -> None:
    from nearline.evaluation.comparison import Comparison
    from nearline.evaluation.comparison_tables import also_rows, list_rows, rating_rows

    if isinstance(found, Comparison):
        accuracy, cost = list_rows(found)
        tables = [accuracy, *also_rows(found), cost]
        counted = f"{count(found.entries[0].report.n_users, 'user')} with held-out items"
    else:
        tables = list(rating_rows(found))
        counted = f"{count(found.entries[0].n_ratings, 'rating')} predicted"
    click.echo(f"{counted}; [95 % bootstrap interval]; best first.\n")
    if isinstance(found, Comparison) and (report := found.entries[0].report).n_unreachable:
        click.echo(f"{repeats(report.n_unreachable, report.n_relevant)}\n")
    for rows in tables:
        write_table(rows, numbers=range(1, len(rows[0])))
        click.echo()
    if isinstance(found, Comparison) and (warning := _not_ahead(found)):
        click.echo(f"{warning}\n")
    if found.left_out:
        write_table([["left out", "because"], *map(list, found.left_out.items())])
