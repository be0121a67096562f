"""The command that opens the dashboard on example data or on a file, with a tour."""

import sys
import tempfile
import time
import webbrowser
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import click

from nearline.cli.options import column_option, example, items_option, json_option
from nearline.cli.output import printable, progress_bars
from nearline.cli.reading import reading_options
from nearline.cli.serve import port_option, run_server

if TYPE_CHECKING:
    from nearline.engine import Recommender

EXAMPLE = "movielens-100k"
# A user of the tour has at least this many events, so that the list has reasons.
WITH_REASONS = 5
LOOKED_AT = 200


@click.command(
    epilog=example(
        "nearline playground",
        "nearline playground events.csv --items items.csv --store shop/",
        "nearline playground synthetic --port 8081 --no-browser",
    )
)
@click.argument("file", default=EXAMPLE)
@items_option
@column_option
@reading_options
@click.option(
    "--store",
    type=click.Path(path_type=Path, file_okay=False),
    help="Folder in which the data is kept; without it, the data is gone when the server stops.",
)
@click.option("--browser/--no-browser", default=True, help="Whether to open the browser.")
@port_option
@json_option
def playground(
    file: str,
    items_file: Path | None,
    columns: dict[str, str] | None,
    reading: dict[str, Any],
    store: Path | None,
    browser: bool,
    port: int,
    as_json: bool,
) -> None:
    """Open the dashboard on MovieLens-100K, or on a file of interactions, with a tour.

    Imports the data, trains, serves on this machine, and opens the browser at a tour of six steps
    that ends in an event whose effect is seen. FILE can also
    be the name of a public data set, such as synthetic.
    """
    from nearline import server
    from nearline.cli.study import load_subject
    from nearline.engine import Recommender

    server.check_address("127.0.0.1", port, None)  # fail before the import
    with progress_bars() as progress:
        subject = load_subject(
            file, items_file, columns, reading=reading, now=time.time(), progress=progress
        )
        with tempfile.TemporaryDirectory(prefix="nearline-playground-") as scratch:
            folder = store or Path(scratch) / "store"
            with Recommender(folder) as engine:
                engine.put_items(subject.items).result()
                engine.fit(subject.interactions, progress=progress)
                user = tour_user(engine)
            url = tour_url(port, user)
            if not as_json:
                click.echo(f"The tour: {printable(url)}")
            run_server(
                lambda: Recommender(folder),
                host="127.0.0.1",
                port=port,
                api_key=None,
                as_json=as_json,
                on_listening=lambda: open_browser(url) if browser else None,
            )


def tour_user(engine: "Recommender") -> str | None:
    """Return a user with some events among the first ones; None without users."""
    best, most = None, 0
    for listed, _ in zip(engine.users(), range(LOOKED_AT), strict=False):
        events = len(engine.user(listed.user_id).history)
        if events >= WITH_REASONS:
            return listed.user_id
        if events > most:
            best, most = listed.user_id, events
    return best


def tour_url(port: int, user: str | None) -> str:
    """Return the address of the dashboard at which the tour begins."""
    return f"http://127.0.0.1:{port}/ui#/tour" + (
        "" if user is None else f"/{quote(user, safe='')}"
    )


def open_browser(url: str) -> None:
    """Open the browser, if a person started the command."""
    if sys.stdout.isatty():
        webbrowser.open(url)
