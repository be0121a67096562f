"""The command that demonstrates training, evaluation and serving on public data."""

import json
import shlex
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import click

from nearline.cli.options import (
    column_option,
    example,
    include_seen_option,
    items_option,
    json_option,
    refuse_auto,
    seed_option,
)
from nearline.cli.output import printable, progress_bars, write_json
from nearline.cli.playground import open_browser, tour_url
from nearline.cli.reading import reading_options
from nearline.cli.serve import port_option, run_server

if TYPE_CHECKING:
    from nearline.cli.showcase import Showcase


@click.command(
    epilog=example(
        "nearline demo --exit",
        "nearline demo --dataset events.csv --items items.csv --port 8081",
    )
)
@click.option("--exit", "stop", is_flag=True, help="Exit after printing instead of serving.")
@port_option
@click.option(
    "--dataset",
    default="movielens-100k",
    show_default=True,
    metavar="NAME|FILE",
    help="Name of a public data set, such as movielens-100k or synthetic, or a file of "
    "interactions.",
)
@items_option
@column_option
@reading_options
@include_seen_option
@seed_option
@json_option
def demo(
    stop: bool,
    port: int,
    dataset: str,
    items_file: Path | None,
    columns: dict[str, str] | None,
    reading: dict[str, Any],
    include_seen: bool,
    seed: int,
    as_json: bool,
) -> None:
    """Train, evaluate, recommend with reasons and serve.

    The default data set, MovieLens-100K, is downloaded on first use. Models are trained on the
    older part of the data and predict the newer part. Lists leave out items of the user's history,
    unless --include-seen is given.
    """
    from nearline import server
    from nearline.cli import showcase
    from nearline.cli.study import load_subject

    refuse_auto()
    if not stop:
        server.check_address("127.0.0.1", port, None)  # fail before the training
    with progress_bars() as progress:
        subject = load_subject(
            dataset, items_file, columns, reading=reading, now=time.time(), progress=progress
        )
        shown = showcase.make(subject, seed=seed, progress=progress, exclude_seen=not include_seen)
    if as_json:
        write_json(showcase.as_dict(shown))
    else:
        showcase.write(shown)
    if not stop:
        _serve(shown, port, as_json=as_json)


def _serve(shown: "Showcase", port: int, *, as_json: bool) -> None:
    """Serve the engine of the list from a temporary folder."""
    from nearline.engine import Recommender

    if not as_json:
        click.echo(f"\n{curl_example(shown, port)}\n")
        click.echo(f"The dashboard, with a tour: {printable(tour_url(port, shown.user_id))}\n")
    with tempfile.TemporaryDirectory(prefix="nearline-demo-") as folder:
        # The clock of this engine is fixed at the split; a loaded store uses the current time.
        shown.engine.save(Path(folder) / "store")
        run_server(
            lambda: Recommender.load(Path(folder) / "store"),
            host="127.0.0.1",
            port=port,
            api_key=None,
            as_json=as_json,
            on_listening=lambda: open_browser(tour_url(port, shown.user_id)),
        )


def curl_example(shown: "Showcase", port: int) -> str:
    """Return commands that request the list of the user and send an event."""
    address = f"http://127.0.0.1:{port}/v1"
    user = quote(shown.user_id, safe="")
    event = json.dumps({"user_id": shown.user_id, "item_id": shown.lines[0].item_id})
    return (
        "Request the same list, send an event for its first item, and request the list again:\n"
        f"  curl {shlex.quote(f'{address}/users/{user}/recommendations?k=10&explain=true')}\n"
        f"  curl {address}/events -H 'Content-Type: application/json' -d {shlex.quote(event)}"
    )
