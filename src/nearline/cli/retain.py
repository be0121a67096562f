"""Command that removes expired events."""

from pathlib import Path

import click

from nearline.cli.options import example, json_option, open_store, store_option
from nearline.cli.output import write_json
from nearline.cli.settings import config_option
from nearline.common.counts import count


@click.command(epilog=example("nearline retain --store shop/"))
@store_option
@config_option
@json_option
def retain(store: Path, as_json: bool) -> None:
    """Remove the events that the setting `retention` of nearline.toml says are expired.

    `nearline serve` does this by itself. Lists and counts are then equal to those without these
    events.
    """
    with open_store(store, call='POST /v1/jobs {"kind": "retention"}') as engine:
        removed = engine.retain()
    if as_json:
        write_json({"store": str(store), "removed": removed})
        return
    click.echo(f"removed {count(removed, 'expired record')}")
