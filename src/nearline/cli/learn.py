"""Commands that import data into a store and train on it."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from msgspec.structs import replace as changed

from nearline.cli.options import (
    column_option,
    encoder_option,
    example,
    include_seen_option,
    item_column_option,
    items_option,
    json_option,
    open_store,
    seed_option,
    set_option,
    store_option,
    users_option,
)
from nearline.cli.output import printable, progress_bars, write_json, write_table
from nearline.cli.ranges import ByteSize, FloatRange, IntRange
from nearline.cli.reading import reading_options, weights_option
from nearline.cli.settings import command_config, config_option, is_given
from nearline.common.budget import LEAST_BYTES, MOST_BYTES
from nearline.common.counts import count

if TYPE_CHECKING:
    import pyarrow

    from nearline.data import CleaningReport
    from nearline.state.matches import CatalogueMatch

NEWLINE = "\n"


@click.command(
    "import",
    epilog=example(
        "nearline import --store shop/ events.csv --items items.csv --column timestamp=date",
        "nearline import --store shop/ --items items.csv --users users.csv",
        "nearline import --store shop/ u.data --no-header --column user_id=1 --column item_id=2",
        "nearline import --store shop/ old.csv --encoding latin-1 --day-first --weights refund=-2",
    ),
)
@click.argument("file", type=click.Path(path_type=Path), required=False)
@store_option
@items_option
@users_option
@column_option
@item_column_option
@reading_options
@weights_option
@config_option
@json_option
def import_(
    file: Path | None,
    store: Path,
    items_file: Path | None,
    users_file: Path | None,
    columns: dict[str, str] | None,
    item_columns: dict[str, str] | None,
    reading: dict[str, Any],
    weights: dict[str, float],
    as_json: bool,
) -> None:
    """Add interactions, a catalogue and attributes of users to a store.

    The store is created if it does not exist.

    FILE is .csv, .tsv, .txt, .dat, .data, .jsonl, .ndjson, .json (each also with .gz) or .parquet
    with the columns user_id, item_id and optionally timestamp, event and value. The name of a field
    inside an object is OBJECT.FIELD. Invalid rows are dropped and reported. Rows that were imported
    before are not stored again. `nearline info` shows the summary again. A .zip file is what
    `nearline user --export` wrote about a user.
    """
    from nearline.common.compiler_cache import is_empty
    from nearline.data import read_interactions, read_items, read_table, without_item_fields
    from nearline.engine import Recommender
    from nearline.ingest.portable import is_export

    if file is None and items_file is None and users_file is None:
        raise click.UsageError(
            "Nothing to import: name a FILE of interactions, --items, --users, or several of these."
        )
    # Other archives are refused by the reader of tables.
    if file is not None and file.suffix.lower() == ".zip" and is_export(file):
        if items_file is not None or users_file is not None or columns:
            raise click.UsageError("A .zip file is the export of a user and is imported alone.")
        _import_user(file, store, as_json=as_json)
        return
    if item_columns and items_file is None:
        raise click.UsageError(
            "--item-column names a column of a catalogue; add --items FILE, or use --column."
        )
    if is_empty():
        click.echo("The first import on this machine compiles code for several seconds.", err=True)
    # Files are read before the store is created, so that a wrong name leaves no store behind.
    file_options: dict[str, Any] = {
        str(name): reading[name] for name in ("separator", "encoding", "header") if name in reading
    }
    people = None if users_file is None else _read_users(users_file, columns, file_options)
    items = items_report = None
    if items_file is not None:
        items = read_table(items_file, flat=False, **file_options)
        own, shared = (columns, None) if file is None else (None, columns)
        own = (own or {}) | (item_columns or {})
        with _catalogue_options(item_columns):
            items, items_report = read_items(items, own, shared=shared, now=time.time())
        columns = without_item_fields(columns)
    table = None if file is None else read_interactions(file, columns, **reading)
    # Nothing is recommended, so the model need not learn the log.
    config = changed(command_config(store, weights=weights), online=False)
    with Recommender(store, config=config) as engine, progress_bars() as progress:
        before = engine.offset
        added = engine.add(table, items, people, progress=progress)
        report, match = added if table is not None else None, engine.catalogue_match
        after, users, n_items = engine.offset, engine.n_users, engine.n_items
    users_report = None if added is None or people is None else (added.users or added)
    if as_json:
        write_json(
            {
                "store": str(store),
                "report": replace(report, items=None, users=None).as_dict() if report else None,
                "items_report": items_report.as_dict() if items_report else None,
                "users_report": users_report.as_dict() if users_report else None,
                "catalogue_match": match.as_dict(),
                "records_stored": after - before,
                "offset": after,
                "users": users,
                "items": n_items,
            }
        )
        return
    _show_import(report, items_report, users_report, match)
    click.echo(
        f"{count(after - before, 'record')} stored; {printable(str(store))} contains "
        f"{count(users, 'user')} and {count(n_items, 'item')}.\n"
        f"Next: nearline train --store {printable(str(store))}"
    )


def _read_users(
    file: Path, columns: dict[str, str] | None, options: dict[str, Any]
) -> "pyarrow.Table":
    """Read a table of users, in which the column that `columns` maps to a user ID is renamed."""
    from nearline.data import read_table

    people = read_table(file, **options)
    own_name = (columns or {}).get("user_id")
    if own_name in people.column_names:
        names = ["user_id" if name == own_name else name for name in people.column_names]
        people = people.rename_columns(names)
    return people


def _show_import(
    report: "CleaningReport | None",
    items_report: "CleaningReport | None",
    users_report: "CleaningReport | None",
    match: "CatalogueMatch",
) -> None:
    if report is not None:
        _show(report)
        click.echo("".join(f"{printable(line)}\n" for line in report.summary()), nl=False)
    if items_report is not None:
        click.echo(f"Catalogue: {printable(str(items_report), keep=NEWLINE)}")
    if users_report is not None:
        click.echo(f"Users: {printable(str(replace(users_report, items=None)), keep=NEWLINE)}")
    if str(match):
        click.echo(printable(str(match), keep=NEWLINE))


@click.command(
    epilog=example(
        "nearline train --store shop/ --seed 7",
        "nearline train --store shop/ --encoder auto",
        "nearline train --store shop/ --memory 4GB --search-seconds 180",
        "nearline train --store shop/ --model ease --set l2=500 --search 20",
        "nearline train --store shop/ --on spark://host:7077",
    )
)
@store_option
@click.option(
    "--model",
    default="item_graph",
    show_default=True,
    metavar="NAME",
    help="Model to train: `nearline models` lists all, `nearline models NAME` the settings of one.",
)
@set_option
@encoder_option
@weights_option
@include_seen_option
@click.option(
    "--search",
    type=IntRange(min=0),
    default=0,
    show_default=True,
    metavar="N",
    help="Number of settings to try on validation data, beginning with the given ones. An "
    "interrupted search is resumed. The item graph also has its own search.",
)
@click.option(
    "--search-seconds",
    type=FloatRange(0),
    metavar="N",
    help="End the search for settings after this time with the best found so far; the final "
    "training comes after it. By default, only the number of settings is limited.",
)
@click.option(
    "--memory",
    type=ByteSize(LEAST_BYTES, MOST_BYTES),
    metavar="SIZE",
    help="Memory budget, such as 4GB: larger counts are written to temporary files. The model does "
    "not depend on it.  [default: half of the memory of the machine]",
)
@seed_option
@click.option(
    "--on",
    metavar="URL",
    help="Count pairs on a cluster of Apache Spark, such as spark://host:7077 or local[4]. The "
    "model is the same.",
)
@config_option
@json_option
def train(
    store: Path,
    model: str,
    settings: dict[str, Any],
    encoder: str | None,
    weights: dict[str, float],
    include_seen: bool,
    search: int,
    search_seconds: float | None,
    memory: int | None,
    seed: int,
    on: str | None,
    as_json: bool,
) -> None:
    """Train on all data in the store, and activate the model.

    Settings are chosen on the last interaction of each user, or on random ones if interactions have
    no order; then the model is trained on all interactions. Accuracy is measured without items of
    the user's history, unless --include-seen is given. If a server has the store open, send POST
    /v1/jobs instead.
    """
    options = {"model": model, "settings": settings, "search": search, "encoder": encoder}
    options |= {"search_seconds": search_seconds, "memory": memory}
    given: dict[str, Any] = {name: value for name, value in options.items() if is_given(name)}
    if include_seen or is_given("include_seen", "repeats"):
        given["exclude_seen"] = not include_seen
    config = command_config(store, weights=weights, **given)
    config.new_model()  # report a wrong name before the store is opened
    call = 'POST /v1/jobs {"kind": "train"}'
    # The serving model is replaced, so it does not have to learn the newest events.
    config = changed(config, online=False)
    with open_store(store, config, call=call) as engine, progress_bars() as progress:
        engine.fit(seed=seed, on=on, progress=progress)
        model_id, metrics, offset = engine.model_id, engine.metrics, engine.offset
        users, items, summary = engine.n_users, engine.n_items, engine.training_summary
    if as_json:
        write_json(
            {
                "store": str(store),
                "model": model_id,
                "offset": offset,
                "users": users,
                "items": items,
                "metrics": metrics,
                "summary": summary,
            }
        )
        return
    click.echo(
        f"Model {model_id} is active: {count(users, 'user')}, {count(items, 'item')}, "
        f"{count(offset, 'record')}."
    )
    for line in summary:
        click.echo(line)
    metrics.pop("validation_sample", None)
    unreachable = metrics.pop("validation_unreachable", 0.0)
    if unreachable:
        click.echo(
            f"{unreachable:.0%} of the held-out items were already in the user's history: lists "
            "without seen items cannot contain them, so they count as misses. With --include-seen, "
            "lists can contain them."
        )
    if not metrics:
        click.echo(
            "Accuracy is unknown: no user has two interactions, so that one can be held out."
        )
        return
    rows = [[name.removeprefix("validation_"), f"{value:.4f}"] for name, value in metrics.items()]
    write_table([["metric on validation data", "mean"], *rows], numbers=[1])


def _import_user(file: Path, store: Path, *, as_json: bool) -> None:
    from nearline.engine import Recommender
    from nearline.ingest.portable import read_export

    content = file.read_bytes()
    read_export(content, now=time.time())  # before the store is created
    with Recommender(store, config=command_config(store)) as engine:
        found = engine.import_user(content)
    if as_json:
        write_json(found._asdict())
        return
    user = printable(found.user_id)
    click.echo(f"User {user}: {found.stored:,} records stored, {found.known:,} known before")


def _show(report: "CleaningReport") -> None:
    """Print the number of rows, and tables of dropped rows and fields by reason."""
    click.echo(
        f"{count(report.rows_in, 'row')} read, {report.rows_kept:,} kept, "
        f"{report.rows_dropped:,} dropped."
    )
    if report.dropped:
        rows = [[f"{drop.rows:,}", drop.reason, drop.example] for drop in report.dropped]
        write_table([["rows", "dropped because", "for example"], *rows], numbers=[0])
    if report.fields:
        rows = [[f"{drop.rows:,}", drop.reason, drop.example] for drop in report.fields]
        write_table([["rows", "left out because", "for example"], *rows], numbers=[0])


@contextmanager
def _catalogue_options(item_columns: dict[str, str] | None) -> Iterator[None]:
    """Let errors about columns name the option that was given."""
    from nearline.errors import InvalidInput

    try:
        yield
    except InvalidInput as error:
        if not item_columns:
            raise
        message = str(error).replace("columns={", "item_columns={")
        raise InvalidInput(message, field=error.field) from None
