"""The command that shows the contents of a store and the summaries of its imports."""

from datetime import UTC, datetime
from pathlib import Path

import click

from nearline.cli.options import check_store, example, json_option, store_option
from nearline.cli.output import printable, write_json
from nearline.common.counts import count


@click.command(epilog=example("nearline info --store shop/", "nearline info --store shop/ --json"))
@store_option
@json_option
def info(store: Path, as_json: bool) -> None:
    """Show the contents of a store, and the summary of each import.

    Works while a server has the store open.
    """
    from nearline.data import CleaningReport
    from nearline.deployment.location import log_url
    from nearline.deployment.versions import versions_of_folder
    from nearline.ingest import kept_summaries
    from nearline.log import open_log

    check_store(store)
    with open_log(log_url(store), read_only=True) as log:
        records, erasures = log.end, log.erasures
    serving = next((found.id for found in versions_of_folder(store) if found.serving), None)
    imports = kept_summaries(store)
    if as_json:
        write_json(
            {
                "store": str(store),
                "records": records,
                "erasures": erasures,
                "model": serving,
                "imports": imports,
            }
        )
        return
    click.echo(
        f"{count(records, 'record')}, {count(erasures, 'erasure')}; model: {serving or 'untrained'}"
    )
    for summary in imports:
        when = datetime.fromtimestamp(summary["time"], UTC).strftime("%Y-%m-%d %H:%M:%S")
        click.echo(f"\n{when} UTC")
        if summary.get("interactions"):
            report = CleaningReport.from_dict(summary["interactions"])
            click.echo(printable(str(report), keep="\n"))
