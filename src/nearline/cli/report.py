"""The command that reports what served lists led to."""

from pathlib import Path

import click

from nearline.cli.options import example, json_option, store_option
from nearline.cli.output import write_json, write_table
from nearline.cli.served_lists import read_served

_GROUPINGS = ("position", "tier", "scenario", "variant", "model", "policy", "chosen")


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
    from nearline.common.pictures import check_picture
    from nearline.served import make_report
    from nearline.served.picture import draw_report

    if picture is not None:
        check_picture(picture)
    found, first, last = read_served(store, since, until)
    made = make_report(found, since=first, until=last, scenario=scenario)
    if picture is not None:
        draw_report(made, picture)
    if as_json:
        write_json(made)
        return
    total = made.total
    click.echo(f"{total.lists:,} lists with {total.items:,} items to {made.users:,} users")
    write_table(made.table(by), numbers=range(1, 7))
