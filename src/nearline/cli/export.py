"""The command that writes the lists of many users to files."""

from pathlib import Path

import click

from nearline.cli.options import (
    example,
    include_seen_option,
    json_option,
    k_option,
    open_store,
    store_option,
)
from nearline.cli.output import printable, progress_bars, write_json


@click.command(
    epilog=example(
        "nearline export --store shop/ lists/ -k 20",
        "nearline export --store shop/ lists/ --users subscribers.csv",
    )
)
@click.argument("folder", type=click.Path(path_type=Path))
@store_option
@k_option
@click.option(
    "--users",
    "users_file",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Table with the column user_id: whose lists to write; everyone's where left out.",
)
@include_seen_option
@json_option
def export(
    folder: Path, store: Path, k: int, users_file: Path | None, include_seen: bool, as_json: bool
) -> None:
    """Write the lists of many users to FOLDER as Parquet files.

    Columns are user_id, item_id, score and rank. An export that was cut off goes on where it
    stopped when the same command is given again; after a training or new events it starts over.
    """
    with open_store(store) as engine, progress_bars() as progress:
        done = engine.export(
            folder, k, users_file, exclude_seen=not include_seen, progress=progress
        )
    if as_json:
        write_json(done)
        return
    if done.started_over:
        click.echo("The folder held lists of another state, model or length: started over.")
    elif done.resumed:
        click.echo(f"Went on behind {done.resumed:,} part files that were there.")
    click.echo(
        f"{done.rows:,} lines for {done.users:,} users in {done.parts:,} part files in "
        f"{printable(done.path)}: model {done.model}, offset {done.offset:,}."
    )
