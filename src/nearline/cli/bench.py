"""The command that benchmarks the server."""

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import click

from nearline.cli.options import example, json_option, out_option, picture_option, seed_option
from nearline.cli.output import progress_bars, write_document, write_json, write_table
from nearline.cli.ranges import FloatRange, IntRange
from nearline.common.counts import count

if TYPE_CHECKING:
    from nearline.bench.plan import Figure, Plan, ScenarioReport

# Keys of nearline.bench.scenarios.SCENARIOS, whose import would slow down --help.
NAMES = (
    *("hot-read", "fresh-read", "mixed", "ingest", "freshness", "new-item"),
    *("batch", "start", "scale", "promotion", "training-load"),
)
# The targets hold for this number of users and of items.
FULL_SIZE = 100_000
# Numbers of events that --large adds.
LARGE = (20_000_000, 50_000_000)
QUICK = {"users": 300, "items": 200, "seconds": 1.0, "connections": 4, "rate": 100.0, "repeats": 1}


@click.command(
    epilog=example(
        "nearline bench hot-read --quick",
        "nearline bench mixed --seconds 600 --rate 1000 --repeats 1 --picture memory.svg",
        "nearline bench scale --users 100000 --items 100000 --out scale.json",
        "nearline bench scale --events 1000000 --events 4000000 --picture growth.svg",
    )
)
@click.argument("scenario", type=click.Choice(NAMES), metavar="SCENARIO")
@click.option(
    "--users", type=IntRange(10), default=FULL_SIZE, show_default=True, help="Number of users."
)
@click.option(
    "--items", type=IntRange(100), default=FULL_SIZE, show_default=True, help="Number of items."
)
@click.option(
    "--events",
    "sizes_of_log",
    type=IntRange(10_000, 100_000_000),
    multiple=True,
    help="With scale: measure import, training, start, merge, checkpoint, erasure, reads and "
    "ingestion with this number of events in the log instead. Can be given several times.",
)
@click.option(
    "--large", is_flag=True, help="With scale --events: also 20 and 50 million events (hours)."
)
@click.option(
    "--seconds",
    type=FloatRange(0.5),
    default=10.0,
    show_default=True,
    help="Duration of one measurement.",
)
@click.option(
    "--connections",
    type=IntRange(1, 512),
    default=32,
    show_default=True,
    help="Number of connections of the load generator.",
)
@click.option(
    "--rate",
    type=FloatRange(1),
    default=1_000.0,
    show_default=True,
    help="Requests per second of scenarios with a fixed rate.",
)
@click.option(
    "--repeats",
    type=IntRange(1),
    default=3,
    show_default=True,
    help="Number of measurements; medians are reported.",
)
@click.option(
    "--quick",
    is_flag=True,
    help="Use a small data set and one second, to check that the benchmark runs. The figures are "
    "not compared with the targets.",
)
@picture_option
@out_option
@seed_option
@json_option
@click.pass_context
def bench(
    context: click.Context,
    /,
    scenario: str,
    out: Path | None,
    picture: Path | None,
    *,
    quick: bool,
    as_json: bool,
    sizes_of_log: tuple[int, ...],
    large: bool,
    **sizes: float,
) -> None:
    """Measure the speed of the server on this machine.

    Each SCENARIO starts `nearline serve` on a temporary store with synthetic data and sends
    requests from another process: hot-read, fresh-read, mixed (reads and events at a fixed rate,
    and memory), ingest, freshness (time from an event to the changed list), new-item, batch, start,
    scale, promotion (under load) and training-load. --picture works for mixed and scale. With
    --events, scale measures the growth with the size of the log, without a server.

    The targets hold for the default sizes on two cores, which the load generator shares. Runs of
    other sizes are not compared with them.
    """
    from nearline.bench.picture import draw
    from nearline.bench.plan import Plan
    from nearline.bench.scenarios import SCENARIOS
    from nearline.common.pictures import check_picture

    if picture is not None:
        check_picture(picture)  # fail before the benchmark runs
    if large and not sizes_of_log:
        raise click.UsageError("--large needs --events")
    if sizes_of_log:
        if scenario != "scale":
            raise click.UsageError(f"--events belongs to scale, not to {scenario}")
        _measure_log((*sizes_of_log, *(LARGE if large else ())), out, picture, as_json=as_json)
        return
    if quick:
        given = click.core.ParameterSource.COMMANDLINE
        sizes |= {
            name: value
            for name, value in QUICK.items()
            if context.get_parameter_source(name) is not given
        }
    with tempfile.TemporaryDirectory(prefix="nearline-bench-") as folder, progress_bars() as bars:
        plan = Plan(folder=Path(folder), progress=bars, **sizes)  # type: ignore[arg-type]
        report = SCENARIOS[scenario](plan)
    judged = not quick and (plan.users, plan.items) == (FULL_SIZE, FULL_SIZE)
    if not judged:
        report = report.without_targets()
    document = {"scenario": scenario, "settings": plan.settings(), **report.as_dict()}
    if out is not None:
        write_document(document, out)
    if picture is not None:
        draw(report, picture, f"nearline bench {scenario}")
    if as_json:
        write_json(document)
        return
    _show(scenario, plan, report)
    if not judged:
        click.echo(
            f"- Not compared with the targets for speed, which hold for {FULL_SIZE:,} users and "
            f"{FULL_SIZE:,} items{', without --quick' if quick else ''}."
        )


def _measure_log(
    sizes: tuple[int, ...], out: Path | None, picture: Path | None, *, as_json: bool
) -> None:
    """Measure the growth with the number of events in the log."""
    from nearline.bench.picture import draw
    from nearline.bench.size import run

    document: dict[str, object] = {}

    def keep(report: "ScenarioReport") -> None:
        nonlocal document
        document = {"scenario": "scale", "settings": {"events": list(sizes)}, **report.as_dict()}
        if out is not None:  # after each step, since all of them may take hours
            write_document(document, out)

    with tempfile.TemporaryDirectory(prefix="nearline-bench-") as folder, progress_bars() as bars:
        report = run(sizes, Path(folder), progress=bars, kept=keep)
    if picture is not None:
        draw(report, picture, "nearline bench scale --events")
    if as_json:
        write_json(document)
        return
    rows = [["figure", "value", ""], *([o.name, number(o.value), o.unit] for o in report.figures)]
    write_table(rows, numbers=(1,))
    click.echo()
    for note in report.notes:
        click.echo(f"- {note}")


def _show(scenario: str, plan: "Plan", report: "ScenarioReport") -> None:
    sizes = (
        f"{count(plan.users, 'user')}, {count(plan.items, 'item')}, "
        f"{count(plan.history, 'event')} per user"
    )
    how = f"{plan.repeats} x {plan.seconds:g} s"
    click.echo(f"{scenario}: {sizes}; {how}: median (smallest to largest)\n")
    rows = [["figure", "value", "", "spread", "target", "met"]]
    rows += [_row(one) for one in report.figures]
    if all(one.target is None for one in report.figures):
        rows = [row[:4] for row in rows]
    write_table(rows, numbers=(1, 3, 4)[: len(rows[0]) - 3])
    click.echo()
    for note in report.notes:
        click.echo(f"- {note}")


def _row(one: "Figure") -> list[str]:
    spread = "" if one.low == one.high else f"{number(one.low)} to {number(one.high)}"
    target = "" if one.target is None else f"{'<=' if one.at_most else '>='} {number(one.target)}"
    met = {None: "", True: "yes", False: "no"}[one.met]
    return [one.name, number(one.value), one.unit, spread, target, met]


def number(value: float) -> str:
    """Format a number with three significant digits, or as a whole number from 100 on."""
    if value == int(value) and abs(value) < 1e15:
        return f"{int(value):,}"
    return f"{value:,.0f}" if abs(value) >= 99.95 else f"{value:.3g}"
