"""The command that reports on duties towards people."""

import time
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING

import click

from nearline.cli.options import example, json_option, open_store, store_option
from nearline.cli.output import write_json, write_table

if TYPE_CHECKING:
    from nearline.engine.compliance import ComplianceReport

_STYLE = """
body { font: 16px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem }
td, th { text-align: left; vertical-align: top; padding: 0.3rem 1rem 0.3rem 0 }
"""
_WORDS = {True: "passed", False: "FAILED", None: "yours to decide"}


@click.command(epilog=example("nearline comply --store shop/ --html report.html"))
@store_option
@click.option(
    "--html",
    "page",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE",
    help="Write the report to this HTML file, too.",
)
@json_option
def comply(store: Path, page: Path | None, as_json: bool) -> None:
    """Check what a store does for the rights of people and for security; it is not legal advice.

    Checks that change data run in memory with a made-up user. The exit code is 1 if one failed.
    """
    from nearline.engine.compliance import compliance

    with open_store(store) as engine:
        found = compliance(engine, store if store.is_dir() else None, now=time.time())
    if page is not None:
        page.write_text(_page(found), encoding="utf-8")
    if as_json:
        write_json(found)
    else:
        rows = [[one.duty, one.law, _WORDS[one.passed], one.detail] for one in found.checks]
        write_table([["duty", "law", "result", "found"], *rows])
    if not found.passed:
        raise click.exceptions.Exit(1)


def _page(found: "ComplianceReport") -> str:
    rows = "".join(
        f"<tr><td>{escape(one.duty)}</td><td>{escape(one.law)}</td>"
        f"<td><code>{escape(one.call)}</code></td><td>{_WORDS[one.passed]}</td>"
        f"<td>{escape(one.detail)}</td></tr>"
        for one in found.checks
    )
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        f"<title>Compliance report</title><style>{_STYLE}</style></head><body>"
        "<h1>Compliance report</h1><p>This report is not legal advice.</p><table><thead><tr>"
        "<th>Duty</th><th>Law</th><th>Call</th><th>Result</th><th>Found</th></tr></thead>"
        f"<tbody>{rows}</tbody></table></body></html>\n"
    )
