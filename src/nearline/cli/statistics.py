"""Commands that release statistics about all users, within the privacy budget."""

import time
from pathlib import Path

import click

from nearline.cli.options import example, json_option, open_store, store_option
from nearline.cli.output import write_json, write_table
from nearline.cli.ranges import FloatRange, IntRange
from nearline.cli.settings import config_option
from nearline.schema.statistics import (
    LEAST_EPSILON,
    MOST_EPSILON,
    MOST_PER_USER,
    STATISTICS,
    StatisticsRequest,
)


@click.group(
    epilog=example(
        "nearline statistics release --store shop/ --of categories --epsilon 0.1",
        "nearline statistics budget --store shop/",
    )
)
def statistics() -> None:
    """Release numbers of users with differential privacy, and show what was spent for them."""


@statistics.command(
    epilog=example("nearline statistics release --store shop/ --of items --epsilon 0.5 -k 50")
)
@store_option
@click.option("--of", type=click.Choice(STATISTICS), required=True, help="Whose users are counted.")
@click.option(
    "--epsilon",
    type=FloatRange(LEAST_EPSILON, MOST_EPSILON),
    required=True,
    help="Part of the privacy budget to spend; less gives more noise.",
)
@click.option(
    "--per-user",
    type=IntRange(1, MOST_PER_USER),
    default=10,
    show_default=True,
    help="Items or categories for which a user counts at most; more give more noise.",
)
@click.option(
    "-k",
    type=IntRange(1, 1_000),
    default=10,
    show_default=True,
    help="Number of names with the largest counts.",
)
@config_option
@json_option
def release(store: Path, of: str, epsilon: float, per_user: int, k: int, as_json: bool) -> None:
    """Spend a part of the privacy budget, and print numbers of users with noise.

    The setting `privacy_budget` of nearline.toml is the sum of all epsilons that may be spent.
    """
    request = StatisticsRequest(of=of, epsilon=epsilon, per_user=per_user, k=k)
    with open_store(store, call="POST /v1/statistics") as engine:
        found = engine.release(request)
    if as_json:
        write_json(found)
        return
    rows = [[one.name, f"{one.users:,}"] for one in found.counts]
    write_table([["name", "users"], *rows], numbers=[1])
    click.echo(f"Mean size of the noise: {found.noise:,.1f}. Left of the budget: {found.left:g}.")


@statistics.command(epilog=example("nearline statistics budget --store shop/"))
@store_option
@config_option
@json_option
def budget(store: Path, as_json: bool) -> None:
    """Show the privacy budget, and for which statistics it was spent."""
    with open_store(store, call="GET /v1/statistics") as engine:
        found = engine.privacy_budget()
    if as_json:
        write_json(found)
        return
    rows = [
        [_date(one.time), one.statistic, str(one.per_user), f"{one.epsilon:g}"]
        for one in found.releases
    ]
    write_table([["time", "users of", "per user", "epsilon"], *rows], numbers=[2, 3])
    click.echo(f"Spent: {found.spent:g} of {found.total:g}. Left: {found.left:g}.")


def _date(seconds: float) -> str:
    return time.strftime("%Y-%m-%d %H:%M:%SZ", time.gmtime(seconds))
