"""Commands that back up, restore and archive a store."""

from pathlib import Path

import click

from nearline.cli.options import check_store, example, json_option, store_option
from nearline.cli.output import printable, progress_bars, write_json
from nearline.cli.ranges import IntRange
from nearline.common.counts import count

MAX_OFFSET = 2**62
folder_argument = click.argument("folder", type=click.Path(path_type=Path))


@click.command(epilog=example("nearline backup --store shop/ backups/monday/"))
@folder_argument
@store_option
@json_option
def backup(folder: Path, store: Path, as_json: bool) -> None:
    """Write a copy of a store to FOLDER, which must be new; a server may have the store open.

    The copy is a store itself: its log is a file, also if that of the store is in PostgreSQL.
    """
    from nearline.deployment import backup as backups

    check_store(store)
    done = backups.backup(store, folder)
    if as_json:
        write_json(done)
        return
    model = f"model {done.model}" if done.model else "no model"
    click.echo(f"{printable(done.store)}: {count(done.offset, 'record')}, {model}.")


@click.command(
    epilog=example(
        "nearline restore --store shop/ backups/monday/",
        "nearline restore --store shop/ backups/monday/ --until 120000",
        "nearline restore --store postgresql://nearline@db.example/shop backups/monday/",
    )
)
@folder_argument
@store_option
@click.option(
    "--until",
    type=IntRange(0, MAX_OFFSET),
    metavar="OFFSET",
    help="Offset at which the log of the store ends.  [default: the end of the backup]",
)
@json_option
def restore(folder: Path, store: Path, until: int | None, as_json: bool) -> None:
    """Make a new store from a backup or an archive in FOLDER.

    The store must be a new folder, or an empty log in PostgreSQL.
    """
    from nearline.deployment import backup as backups
    from nearline.deployment.location import log_url
    from nearline.log import is_postgres

    url = log_url(store)
    done = backups.restore(folder, url if is_postgres(url) else store, until)
    if as_json:
        write_json(done)
        return
    model = f"model {done.model}" if done.model else "no model; train it"
    click.echo(f"{printable(done.store)}: {count(done.offset, 'record')}, {model}.")


@click.command(epilog=example("nearline archive --store shop/ archive/"))
@folder_argument
@store_option
@json_option
def archive(folder: Path, store: Path, as_json: bool) -> None:
    """Write the new records of a store to an archive of Parquet files in FOLDER.

    A server may have the store open. Run the command again to add what is new. After an erasure,
    all files are written again.
    """
    from nearline.deployment.location import log_url
    from nearline.log import open_log
    from nearline.log.archive import archive_log

    check_store(store)
    with open_log(log_url(store), read_only=True) as log, progress_bars() as progress:
        done = archive_log(log, folder, progress=progress)
    if as_json:
        write_json(done)
        return
    again = " All files were written again, because of an erasure." if done.rewritten else ""
    click.echo(
        f"{printable(str(folder))}: {count(done.records, 'record')} written, {done.end:,} in "
        f"{count(done.parts, 'file')}.{again}"
    )
