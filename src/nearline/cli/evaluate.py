"""The command that measures accuracy on a data set or on files."""

import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from nearline.cli.options import (
    chosen_repeats,
    column_option,
    encoder_option,
    example,
    include_seen_option,
    items_option,
    json_option,
    k_option,
    repeats,
    seed_option,
)
from nearline.cli.output import progress_bars, write_json, write_table
from nearline.cli.ranges import FloatRange
from nearline.cli.reading import reading_options
from nearline.common.counts import count
from nearline.schema.rules import AUTO

if TYPE_CHECKING:
    from collections.abc import Mapping

    from nearline.cli.study import Subject
    from nearline.common.progress import Progress
    from nearline.data import Dataset
    from nearline.evaluation import Report

SPLITS = (
    "leave-one-out",
    "time",
    "user-time",
    "random",
    "stratified",
    "cold-items",
    "cold-users",
)


@click.command(
    epilog=example(
        "nearline evaluate movielens-100k --split time --fraction 0.2",
        "nearline evaluate events.csv --items items.csv --column timestamp=position",
    )
)
@click.argument("data")
@items_option
@column_option
@reading_options
@click.option(
    "--split",
    type=click.Choice(SPLITS),
    default="leave-one-out",
    show_default=True,
    help="Test split: which interactions are held out.",
)
@click.option(
    "--fraction",
    type=FloatRange(0, 1, min_open=True, max_open=True),
    default=0.2,
    show_default=True,
    help="Share of the data that is held out; not used by leave-one-out.",
)
@click.option(
    "--protocol",
    type=click.Choice(["strict", "refit"]),
    default="strict",
    show_default=True,
    help="strict: the validation part is used as history, but never for training. "
    "refit: after the choice of settings, train on all data that is not held out.",
)
@encoder_option
@include_seen_option
@k_option
@seed_option
@json_option
def evaluate(
    data: str,
    items_file: Path | None,
    columns: dict[str, str] | None,
    reading: dict[str, Any],
    as_json: bool,
    **options: Any,
) -> None:
    """Measure accuracy on a data set or on files.

    DATA is a file of interactions or the name of a data set: movielens-100k, amazon-beauty,
    amazon-sports, amazon-toys, online-retail, synthetic. Every item is ranked for every user, and
    items of the history are masked unless --include-seen is given. The models popularity and
    trending are always measured, too.
    """
    from nearline.cli.study import load_subject

    with progress_bars() as progress:
        subject = load_subject(
            data, items_file, columns, reading=reading, now=time.time(), progress=progress
        )
        dataset, reports = _evaluate(subject, progress=progress, **options)
    split, protocol = options["split"], options["protocol"]
    if as_json:
        write_json(
            {
                "data": subject.name,
                "split": split,
                "fraction": None if split == "leave-one-out" else options["fraction"],
                "protocol": protocol,
                "seed": options["seed"],
                "models": {name: report.as_dict() for name, report in reports.items()},
            }
        )
        return
    first = next(iter(reports.values()))
    click.echo(
        f"{subject.name}: {count(dataset.n_interactions, 'interaction')}, "
        f"{count(dataset.n_users, 'user')}, {count(dataset.n_items, 'item')}.\n"
        f"Split {split}, protocol {protocol}, {count(first.n_users, 'user')} "
        "with held-out items; 95 % bootstrap intervals."
    )
    _write(reports)


def _evaluate(
    subject: "Subject",
    *,
    split: str,
    fraction: float,
    protocol: str,
    encoder: str | None,
    include_seen: bool,
    k: int,
    seed: int,
    progress: "Progress",
) -> "tuple[Dataset, dict[str, Report]]":
    """Train on a part of the data; return all data, and the report of each model."""
    from nearline.cli.study import (
        GRAPH,
        GRAPH_AND_LANGUAGE,
        GRAPH_AND_TEXT,
        SubjectTables,
        divide,
        fit_engines,
        measure,
    )

    tables = SubjectTables(subject)
    strict = protocol == "strict"
    parts, question = divide(tables.data, split, fraction=fraction, seed=seed, strict=strict)
    names = [GRAPH_AND_TEXT if subject.has_text else GRAPH]
    if encoder is not None:
        names.append(GRAPH_AND_LANGUAGE)
    engines = fit_engines(names, tables, parts, seed=seed, encoder=encoder, progress=progress)
    if chosen_repeats() == AUTO:
        include_seen = engines[names[0]].engine.repeats_found
    reports = measure(
        engines, parts, question, k=k, seed=seed, progress=progress, exclude_seen=not include_seen
    )
    return tables.data, reports


def _write(reports: "Mapping[str, Report]") -> None:
    """Print a table of metrics, and a note about held-out items in the histories."""
    from nearline.cli.study import metric_rows, not_ahead

    first = next(iter(reports.values()))
    if first.n_unreachable:
        click.echo(repeats(first.n_unreachable, first.n_relevant))
    write_table(metric_rows(reports, digits=4), numbers=range(1, 1 + len(reports)))
    if warning := not_ahead(reports):
        click.echo(warning)
