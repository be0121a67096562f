"""The command that lets simulated users visit a running server."""

import click

from nearline.cli.options import example, json_option, seed_option
from nearline.cli.output import progress_bars, write_json, write_table
from nearline.cli.ranges import FloatRange, IntRange


@click.command(
    epilog=example(
        "nearline simulate --url http://127.0.0.1:8080 --visits 2000",
        "nearline simulate --url http://127.0.0.1:8080 --drift 0.02 --new-items 100",
        "nearline simulate --url http://127.0.0.1:8080 --scenario explore --json",
    )
)
@click.option(
    "--url",
    required=True,
    metavar="URL",
    help="Address of a running server. Its store receives the simulated items and clicks: use one "
    "of its own.",
)
@click.option("--api-key", envvar="NEARLINE_API_KEY", help="Default: $NEARLINE_API_KEY.")
@click.option(
    "--scenario",
    metavar="NAME",
    help="Scenario of the requests. Without one, lists include clicked items.",
)
@click.option("--visits", type=IntRange(1), default=2_000, show_default=True, help="Visits.")
@click.option("--users", type=IntRange(1), default=200, show_default=True, help="Number of users.")
@click.option(
    "--items",
    type=IntRange(1),
    default=300,
    show_default=True,
    help="Number of items at the beginning.",
)
@click.option(
    "--new-items",
    type=IntRange(0),
    default=0,
    show_default=True,
    help="Number of items that arrive during the simulation.",
)
@click.option("-k", type=IntRange(1, 1000), default=10, show_default=True, help="List length.")
@click.option(
    "--position-bias",
    type=FloatRange(0, 10),
    default=1.0,
    show_default=True,
    help="Position p is seen with probability 1 / p^BIAS.",
    metavar="BIAS",
)
@click.option(
    "--fatigue",
    type=FloatRange(0, 1),
    default=0.9,
    show_default=True,
    metavar="FACTOR",
    help="Factor of the probability of a click for each earlier showing of the item; 1 means no "
    "fatigue.",
)
@click.option(
    "--drift",
    type=FloatRange(0, 1),
    default=0.0,
    show_default=True,
    metavar="SHARE",
    help="Share of a user's taste that a visit replaces by a random one.",
)
@seed_option
@json_option
def simulate(
    url: str,
    api_key: str | None,
    scenario: str | None,
    visits: int,
    users: int,
    items: int,
    new_items: int,
    k: int,
    position_bias: float,
    fatigue: float,
    drift: float,
    seed: int,
    as_json: bool,
) -> None:
    """Let simulated users with known tastes visit a running server, and report its clicks.

    The users click what they like, see upper positions more often, tire of what they were shown,
    and change. The last column compares the lists with the best possible ones.
    """
    from nearline.testing.closed_loop import HttpShop, run_visits
    from nearline.testing.simulator import SimulatedWorld, WorldConfig

    world = SimulatedWorld(
        WorldConfig(
            users=users,
            items=items,
            position_bias=position_bias,
            fatigue=fatigue,
            drift=drift,
            seed=seed,
        )
    )
    # Users return to items that they clicked; a scenario decides that by itself.
    options = {"scenario": scenario} if scenario else {"exclude_seen": "false"}
    shop = HttpShop(url, key=api_key, options=options)
    with progress_bars() as progress:
        parts = run_visits(
            world,
            shop,
            visits,
            k=k,
            new_items=new_items,
            progress=progress,
        )
    shop.close()
    if as_json:
        write_json({"visits": visits, "parts": [part._asdict() for part in parts]})
        return
    rows = [["visits", "clicks a visit", "expected", "possible", "share"]]
    for part in parts:
        rows.append(
            [
                f"{part.visits:,}",
                f"{part.clicks / part.visits:.3f}",
                f"{part.expected / part.visits:.3f}",
                f"{part.possible / part.visits:.3f}",
                f"{part.expected / part.possible:.1%}" if part.possible else "",
            ]
        )
    write_table(rows, numbers=range(5))
