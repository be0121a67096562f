"""The command that measures accuracy on a data set or on files."""

import time
from pathlib import Path
from typing import Any

import click

from nearline.cli.options import (
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
    help="What is held out for testing.",
)
@click.option(
    "--fraction",
    type=FloatRange(0, 1, min_open=True, max_open=True),
    default=0.2,
    show_default=True,
    help="Share that is held out; leave-one-out needs none.",
)
@click.option(
    "--protocol",
    type=click.Choice(["strict", "refit"]),
    default="strict",
    show_default=True,
    help="strict: the validation part is never trained on, only known as history. refit: choose "
    "the settings, then train on all that is not held out.",
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
    split: str,
    fraction: float,
    protocol: str,
    encoder: str | None,
    include_seen: bool,
    k: int,
    seed: int,
    as_json: bool,
) -> None:
    """Measure accuracy on a data set or on files.

    DATA is a file of interactions or the name of a data set: movielens-100k, amazon-beauty,
    amazon-sports, amazon-toys, online-retail, synthetic. Every item is ranked for every user, and
    items of the history are masked unless --include-seen is given.
    """
    from nearline.cli.study import (
        GRAPH,
        GRAPH_AND_LANGUAGE,
        GRAPH_AND_TEXT,
        SubjectTables,
        divide,
        fit_engines,
        load_subject,
        measure,
        metric_rows,
    )

    strict = protocol == "strict"
    with progress_bars() as progress:
        subject = load_subject(
            data, items_file, columns, reading=reading, now=time.time(), progress=progress
        )
        tables = SubjectTables(subject)
        parts, question = divide(tables.data, split, fraction=fraction, seed=seed, strict=strict)
        names = [GRAPH_AND_TEXT if subject.has_text else GRAPH]
        if encoder is not None:
            names.append(GRAPH_AND_LANGUAGE)
        engines = fit_engines(names, tables, parts, seed=seed, encoder=encoder, progress=progress)
        reports = measure(
            engines,
            parts,
            question,
            k=k,
            seed=seed,
            progress=progress,
            exclude_seen=not include_seen,
        )
    if as_json:
        write_json(
            {
                "data": subject.name,
                "split": split,
                "fraction": None if split == "leave-one-out" else fraction,
                "protocol": protocol,
                "seed": seed,
                "models": {name: report.as_dict() for name, report in reports.items()},
            }
        )
        return
    found, first = tables.data, next(iter(reports.values()))
    click.echo(
        f"{subject.name}: {count(found.n_interactions, 'interaction')}, "
        f"{count(found.n_users, 'user')}, {count(found.n_items, 'item')}.\n"
        f"Split {split}, protocol {protocol}, {count(first.n_users, 'user')} "
        "with something held out; 95 % bootstrap intervals."
    )
    if first.n_unreachable:
        click.echo(repeats(first.n_unreachable, first.n_relevant))
    write_table(metric_rows(reports, digits=4), numbers=range(1, 1 + len(reports)))
