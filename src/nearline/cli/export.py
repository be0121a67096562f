"""The command that writes the lists of many users to files."""

from pathlib import Path
from typing import Any

import click

from nearline.cli.options import example, json_option, open_store, store_option
from nearline.cli.output import printable, progress_bars, write_json
from nearline.cli.request_options import request_options
from nearline.cli.settings import config_option
from nearline.common.counts import count
from nearline.schema import ListOptions


@click.command(
    epilog=example(
        "nearline export --store shop/ lists/ -k 20",
        "nearline export --store shop/ lists/ --users subscribers.csv --category toys",
    )
)
@click.argument("folder", type=click.Path(path_type=Path))
@store_option
@request_options(ListOptions)
@click.option(
    "--users",
    "users_file",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Table with a column user_id: the users to recommend to. Default: all users.",
)
@config_option
@json_option
def export(
    folder: Path, store: Path, users_file: Path | None, as_json: bool, **options: Any
) -> None:
    """Write the lists of many users to FOLDER as Parquet files.

    The columns are user_id, item_id, score and rank. To resume an interrupted export, run the same
    command again. If the model, the log or the options have changed, it starts over.
    """
    with open_store(store) as engine, progress_bars() as progress:
        done = engine.export(folder, users=users_file, progress=progress, **options)
    if as_json:
        write_json(done)
        return
    if done.started_over:
        click.echo("The export in the folder was of another state or with other options: replaced.")
    elif done.resumed:
        click.echo(f"Resumed: {count(done.resumed, 'part file')} already complete.")
    click.echo(
        f"{count(done.rows, 'line')} for {count(done.users, 'user')} in "
        f"{count(done.parts, 'part file')} in "
        f"{printable(done.path)}: model {done.model}, offset {done.offset:,}."
    )
