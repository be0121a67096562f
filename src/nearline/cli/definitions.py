"""Commands that store, show and delete scenarios and merchandising rules."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import msgspec

from nearline.cli.options import example, json_option, open_store, store_option
from nearline.cli.output import write_json, write_table
from nearline.cli.ranges import FloatRange, IntRange
from nearline.cli.request_options import request_option
from nearline.schema import MAX_K, RecommendationRequest, request_fields
from nearline.schema.definitions import MAX_FACTOR, SCENARIO_OPTIONS

if TYPE_CHECKING:
    from nearline.log import Appended

_OPTIONS = [
    field for field in request_fields(RecommendationRequest) if field.name in SCENARIO_OPTIONS
]


@click.group(
    epilog=example(
        "nearline scenarios put --store shop/ home -k 5 --repeats exclude",
        "nearline recommend --store shop/ u1 --scenario home",
    )
)
def scenarios() -> None:
    """Store, show and delete scenarios: named options of requests.

    A request that names a scenario has its options where it sets none itself. While a server has
    the store open, use /v1/scenarios instead.
    """


def _scenario_options(command: Any) -> Any:
    for field in reversed(_OPTIONS):
        command = request_option(field)(command)
    return command


@scenarios.command("put", epilog=example("nearline scenarios put --store shop/ home -k 5"))
@click.argument("name")
@store_option
@_scenario_options
@click.option(
    "--rule",
    "rules",
    multiple=True,
    metavar="NAME",
    help="Rule that applies to lists of the scenario; by default all that are not for another "
    "scenario. Can be given several times.",
)
@click.option(
    "--because",
    metavar="KIND",
    help="Make lists from the newest item of the history with an event of this kind, such as "
    "purchase.",
)
@click.option("--model", metavar="SNAPSHOT", help="Snapshot that ranks items; see snapshots.")
@click.option(
    "--bandit",
    metavar="JSON",
    help="Policies among which the scenario chooses by what lists led to. For example "
    '\'{"policies": {"now": {}, "new": {"scenario": "new-home"}}}\'.',
)
@json_option
def put_scenario(
    name: str,
    store: Path,
    rules: tuple[str, ...],
    bandit: str | None,
    as_json: bool,
    **options: Any,
) -> None:
    """Store the scenario NAME; it replaces a scenario of that name."""
    given = {option: value for option, value in options.items() if value not in (None, ())}
    if bandit is not None:
        try:
            given["bandit"] = msgspec.json.decode(bandit)
        except msgspec.DecodeError as error:
            raise click.BadParameter(
                f"{bandit!r:.80} is no JSON ({error})", param_hint="--bandit"
            ) from None
    if rules:
        given["rules"] = list(rules)
    with open_store(store, call=f"PUT /v1/scenarios/{name}") as engine:
        _report(engine.put_scenario(name, **given), f"Scenario {name} stored.", as_json)


@scenarios.command("list", epilog=example("nearline scenarios list --store shop/"))
@store_option
@json_option
def list_scenarios(store: Path, as_json: bool) -> None:
    """List all scenarios with the options that they set."""
    with open_store(store, call="GET /v1/scenarios") as engine:
        _show("scenarios", engine.scenarios(), as_json)


@scenarios.command("policies", epilog=example("nearline scenarios policies --store shop/ home"))
@click.argument("name")
@store_option
@json_option
def show_policies(name: str, store: Path, as_json: bool) -> None:
    """Show the policies of the scenario NAME: how often each is chosen, and how good it is.

    Also counts the lists up to the current time window, as a server does every minute.
    """
    with open_store(store, call=f"GET /v1/scenarios/{name}/policies") as engine:
        engine.policies(name)
        engine.update_policies()
        found = engine.policies(name)
    if as_json:
        write_json(found)
        return
    head = ["policy", "probability", "best", "visits", "successes", "rate"]
    rows = [
        [
            one.name,
            f"{one.probability:.3f}",
            f"{one.best:.3f}",
            f"{one.visits:,}",
            f"{one.successes:,}",
            f"{one.rate:.2%}",
        ]
        for one in found.policies
    ]
    write_table([head, *rows], numbers=(1, 2, 3, 4, 5))


@scenarios.command("delete", epilog=example("nearline scenarios delete --store shop/ home"))
@click.argument("name")
@store_option
@json_option
def delete_scenario(name: str, store: Path, as_json: bool) -> None:
    """Delete the scenario NAME."""
    with open_store(store, call=f"DELETE /v1/scenarios/{name}") as engine:
        _report(engine.delete_scenario(name), f"Scenario {name} deleted.", as_json)


@click.group(
    epilog=example(
        "nearline rules put --store shop/ welcome --pin i77 --position 1 --scenario home",
        "nearline rules put --store shop/ sale --scale 'price < 20' --factor 2 --until 2026-12-31",
    )
)
def rules() -> None:
    """Store, show and delete merchandising rules: pin, list last, or scale scores.

    Answers name the rules that fired. While a server has the store open, use /v1/rules instead.
    """


@rules.command("put", epilog=example("nearline rules put --store shop/ old --bury 'year < 2000'"))
@click.argument("name")
@store_option
@click.option("--pin", metavar="ITEM", help="Item to show at --position.")
@click.option("--position", type=IntRange(1, MAX_K), help="Position of --pin, from 1.")
@click.option("--bury", metavar="FILTER", help="List items that match the filter last.")
@click.option("--scale", metavar="FILTER", help="Multiply scores of matching items by --factor.")
@click.option("--factor", type=FloatRange(0, MAX_FACTOR), help="Factor of --scale.")
@click.option("--scenario", metavar="NAME", help="Apply only to lists of this scenario.")
@click.option("--from", "start", metavar="TIME", help="Time from which the rule applies.")
@click.option("--until", metavar="TIME", help="Time at which the rule ends.")
@json_option
def put_rule(name: str, store: Path, as_json: bool, **given: Any) -> None:
    """Store the rule NAME with one of --pin, --bury and --scale; it replaces a rule of that name.

    Times are RFC 3339, such as 2026-12-31 or 2026-12-31T12:00:00Z; without an offset, in UTC.
    """
    fields: dict[str, Any] = {
        field: given[field] for field in ("scenario", "start", "until") if given[field] is not None
    }
    for action, number in (("pin", "position"), ("scale", "factor")):
        if (given[action] is None) != (given[number] is None):
            raise click.UsageError(f"--{action} and --{number} belong together: give both")
    if given["pin"] is not None:
        fields["pin"] = {"item_id": given["pin"], "position": given["position"]}
    if given["bury"] is not None:
        fields["bury"] = {"filter": given["bury"]}
    if given["scale"] is not None:
        fields["scale"] = {"filter": given["scale"], "factor": given["factor"]}
    with open_store(store, call=f"PUT /v1/rules/{name}") as engine:
        _report(engine.put_rule(name, **fields), f"Rule {name} stored.", as_json)


@rules.command("list", epilog=example("nearline rules list --store shop/"))
@store_option
@json_option
def list_rules(store: Path, as_json: bool) -> None:
    """List all rules with their fields."""
    with open_store(store, call="GET /v1/rules") as engine:
        _show("rules", engine.rules(), as_json)


@rules.command("delete", epilog=example("nearline rules delete --store shop/ sale"))
@click.argument("name")
@store_option
@json_option
def delete_rule(name: str, store: Path, as_json: bool) -> None:
    """Delete the rule NAME."""
    with open_store(store, call=f"DELETE /v1/rules/{name}") as engine:
        _report(engine.delete_rule(name), f"Rule {name} deleted.", as_json)


def _report(appended: "Appended", sentence: str, as_json: bool) -> None:
    if as_json:
        write_json(appended)
    else:
        click.echo(sentence)


def _show(kind: str, found: list[dict[str, Any]], as_json: bool) -> None:
    if as_json:
        write_json({kind: found})
        return
    rows = [
        [one.pop("name"), msgspec.json.encode(one).decode()] for one in (dict(o) for o in found)
    ]
    write_table([["name", "fields"], *rows])
