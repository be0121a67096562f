"""The command that replays a data set as an event stream."""

import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from nearline.cli.options import (
    column_option,
    example,
    include_seen_option,
    items_option,
    json_option,
    k_option,
    out_option,
    picture_option,
    refuse_auto,
    seed_option,
)
from nearline.cli.output import progress_bars, write_document, write_json, write_table
from nearline.cli.ranges import FloatRange, IntRange
from nearline.cli.reading import reading_options
from nearline.common.counts import count

if TYPE_CHECKING:
    from nearline.cli.study import Subject
    from nearline.common.progress import Progress
    from nearline.replay import ReplayReport

# Duration of a stream from data whose times only order the events of each user.
SPREAD_DAYS = 100.0
ORDER_ONLY = ("amazon-beauty", "amazon-sports", "amazon-toys")


@click.command(
    epilog=example(
        "nearline replay movielens-100k --picture replay.svg",
        "nearline replay events.csv --items items.csv --day 3600 --sample 0",
    )
)
@click.argument("data")
@items_option
@column_option
@reading_options
@click.option(
    "--warm-up",
    type=FloatRange(0, 1, min_open=True, max_open=True),
    default=0.5,
    show_default=True,
    help="Share of the oldest events, for choosing the settings and for the first training.",
)
@click.option(
    "--day",
    type=FloatRange(min=0, min_open=True),
    default=86_400.0,
    show_default=True,
    metavar="SECONDS",
    help="Time between retrainings.",
)
@click.option(
    "--sample",
    type=IntRange(min=0),
    default=20_000,
    show_default=True,
    metavar="N",
    help="Maximum number of events to evaluate; 0 means all. All events are learned.",
)
@click.option(
    "--speed",
    type=FloatRange(min=0, min_open=True),
    metavar="N",
    help="Speed relative to real time. Default: as fast as possible.",
)
@click.option(
    "--spread",
    type=FloatRange(min=0, min_open=True),
    metavar="DAYS",
    help="Number of days over which to spread data whose times only order the events of each user. "
    f"Default for the Amazon data sets: {SPREAD_DAYS:g}.",
)
@include_seen_option
@k_option
@picture_option
@out_option
@seed_option
@json_option
def replay(
    data: str,
    items_file: Path | None,
    columns: dict[str, str] | None,
    reading: dict[str, Any],
    picture: Path | None,
    out: Path | None,
    include_seen: bool,
    as_json: bool,
    **question: Any,
) -> None:
    """Evaluate on a data set in order of time: predict each event, then learn it.

    DATA is a file of interactions or the name of a data set, as for `nearline evaluate`. Three
    policies are compared: online learning, current histories with a model that is retrained once
    a day (fold-in), and lists that are computed once a day. They are evaluated on events with an
    item that is new to the user; with --include-seen, on all events of positive weight.
    """
    from nearline.cli.study import load_subject
    from nearline.common.pictures import check_picture
    from nearline.replay.picture import draw

    refuse_auto()
    if picture is not None:
        check_picture(picture)  # fail before the replay
    if question["spread"] is None and data in ORDER_ONLY:
        question["spread"] = SPREAD_DAYS
    with progress_bars() as progress:
        subject = load_subject(
            data, items_file, columns, reading=reading, now=time.time(), progress=progress
        )
        settings, found = _replay(
            subject, progress=progress, exclude_seen=not include_seen, **question
        )
    title = f"{subject.name}: {count(subject.interactions.num_rows, 'event')} in order of time"
    if picture is not None:
        draw(found, picture, title)
    document = {
        "data": subject.name,
        **question,
        "exclude_seen": not include_seen,
        **found.as_dict(),
        "settings": settings,
    }
    if out is not None:
        write_document(document, out)
    if as_json:
        write_json(document)
        return
    click.echo(f"{title}.")
    _write(found)


def _replay(
    subject: "Subject",
    *,
    warm_up: float,
    day: float,
    sample: int,
    speed: float | None,
    spread: float | None,
    k: int,
    seed: int,
    exclude_seen: bool,
    progress: "Progress",
) -> "tuple[object, ReplayReport]":
    """Replay a data set; return the chosen settings and the report."""
    from threading import Event

    import numpy as np

    from nearline.config import Config
    from nearline.replay import choose_settings, make_stream, summarise
    from nearline.replay import replay as replay_stream
    from nearline.replay import spread as spread_out
    from nearline.replay.prequential import real_time

    table = subject.interactions
    if spread is not None:
        table = spread_out(table, spread, np.random.default_rng(seed))
    stream = make_stream(table, subject.items, Config().state.weight, repeats=not exclude_seen)
    start = round(warm_up * len(stream))
    settings = choose_settings(stream, start, seed=seed, progress=progress)
    pace = None
    if speed is not None and start < len(stream):
        pace = real_time(stream.events[start].timestamp, speed, wait=Event().wait)
    outcome = replay_stream(
        stream,
        start,
        settings,
        k=k,
        day=day,
        sample=sample,
        rng=np.random.default_rng(seed),
        pace=pace,
        progress=progress,
    )
    return settings, summarise(outcome, np.random.default_rng(seed))


def _write(found: "ReplayReport") -> None:
    outcome = found.outcome
    first, *others = outcome.policies
    click.echo(
        f"{count(outcome.n_learned, 'event')} replayed, "
        f"{count(outcome.retrainings, 'retraining')}; {len(outcome.positions):,} of "
        f"{count(outcome.n_candidates, 'event')} {'' if outcome.repeats else 'new to their user '}"
        "evaluated; [95 % bootstrap interval over users].\n"
    )
    rows = [["", f"ndcg@{outcome.k}", f"{first} minus this", f"hit_rate@{outcome.k}"]]
    for arm in outcome.policies:
        less = ""
        if arm in others:
            mean, low, high = found.differences["ndcg"][arm]
            less = f"{mean:+.4f} [{low:+.4f}, {high:+.4f}]"
        cells = [_cell(found, "ndcg", arm), less, _cell(found, "hit_rate", arm)]
        rows.append([arm, *cells])
    write_table(rows, numbers=range(1, 4))
    click.echo()
    header = ["users", "events", "evaluated", *outcome.policies]
    groups = [
        [
            group["users"],
            group["events"],
            f"{group['n_evaluated']:,}",
            *(f"{group['ndcg'][arm]:.4f}" for arm in outcome.policies),
        ]
        for group in found.groups
    ]
    write_table([header, *groups], numbers=range(2, len(header)))


def _cell(found: "ReplayReport", metric: str, arm: str) -> str:
    low, high = found.intervals[metric][arm]
    return f"{found.means[metric][arm]:.4f} [{low:.4f}, {high:.4f}]"
