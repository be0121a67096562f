"""The command that reports what served lists led to."""

from pathlib import Path

import click

from nearline.cli.options import check_store, example, json_option, store_option
from nearline.cli.output import write_json, write_table

_GROUPINGS = ("position", "tier", "scenario", "variant", "model", "policy")


@click.command(
    epilog=example(
        "nearline report --store shop/",
        "nearline report --store shop/ --by variant --since 2026-11-01 --picture report.svg",
    )
)
@store_option
@click.option(
    "--by",
    type=click.Choice(_GROUPINGS),
    default="position",
    show_default=True,
    help="Property of the lines by which the table is grouped; JSON has all.",
)
@click.option("--since", metavar="TIME", help="Only lists that were served from this time on.")
@click.option("--until", metavar="TIME", help="Only lists that were served before this time.")
@click.option("--scenario", metavar="NAME", help="Only lists of this scenario.")
@click.option(
    "--picture",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Also save a picture, as .png or .svg.",
)
@json_option
def report(
    store: Path,
    by: str,
    since: str | None,
    until: str | None,
    scenario: str | None,
    picture: Path | None,
    as_json: bool,
) -> None:
    """Report click-through and conversion of served lists.

    Contains the lists of requests and scenarios with `track`, and of experiments. Works while a
    server has the store open: what was served in the last second may be missing.
    """
    import time

    from nearline.common.pictures import check_picture
    from nearline.config import Config, with_settings_of
    from nearline.deployment.location import log_url
    from nearline.log import open_log
    from nearline.schema import parse_time
    from nearline.schema.questions import as_moment
    from nearline.served import attribute, make_report, read_segments
    from nearline.served.picture import draw_report
    from nearline.served.segments import FOLDER

    check_store(store)
    if picture is not None:
        check_picture(picture)
    now = time.time()
    first, last = (
        None if text is None else parse_time(as_moment(text), name, now=now)
        for text, name in ((since, "since"), (until, "until"))
    )
    windows = with_settings_of(store, Config()).windows
    with open_log(log_url(store), read_only=True) as log:
        found = attribute(read_segments(store / FOLDER, first or 0.0), log.read, windows)
    made = make_report(found, since=first, until=last, scenario=scenario)
    if picture is not None:
        draw_report(made, picture)
    if as_json:
        write_json(made)
        return
    total = made.total
    click.echo(f"{total.lists:,} lists with {total.items:,} items to {made.users:,} users")
    write_table(made.table(by), numbers=range(1, 7))
