"""Command that seals a store, or changes its master key."""

from pathlib import Path

import click

from nearline.cli.options import check_store, example, json_option, store_option
from nearline.cli.output import printable, progress_bars, write_json
from nearline.common.counts import count

master_key_option = click.option(
    "--master-key",
    metavar="SOURCE",
    envvar="NEARLINE_SEAL",
    show_envvar=True,
    help="Source of the master key: env:NAME, file:PATH or command:PROGRAM ARGUMENTS.  [default: "
    "env:NEARLINE_MASTER_KEY]",
)


@click.command(
    epilog=example(
        "nearline seal --store shop/ --master-key file:/run/secrets/nearline",
        "nearline seal --store shop/ --master-key file:old.key --rotate-to file:new.key",
    )
)
@store_option
@master_key_option
@click.option(
    "--rotate-to",
    metavar="SOURCE",
    help="Source of another master key for a sealed store, which a server may have open.",
)
@json_option
def seal(store: Path, master_key: str | None, rotate_to: str | None, as_json: bool) -> None:
    """Seal a store that no process has open: encrypt its log and checkpoint.

    If the command is interrupted, call it again. Make a key with: openssl rand -hex 32
    """
    from nearline.deployment.sealing import seal_store
    from nearline.sealing import DEFAULT_SOURCE, KEYS, rotate

    check_store(store)
    source = master_key or DEFAULT_SOURCE
    if rotate_to is not None:
        rotate(store / KEYS, source, rotate_to)
        if as_json:
            write_json({"store": str(store), "rotated": True})
        else:
            click.echo(f"{printable(str(store))}: the new master key opens it from now on.")
        return
    with progress_bars() as progress:
        records = seal_store(store, source, progress=progress)
    if as_json:
        write_json({"store": str(store), "sealed": records})
        return
    click.echo(f"{printable(str(store))}: {count(records, 'record')} sealed.")
