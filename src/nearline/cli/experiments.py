"""Commands that store, show and stop experiments, and compare their variants."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from nearline.cli.options import example, json_option, open_store, store_option
from nearline.cli.output import write_json, write_table
from nearline.cli.ranges import FloatRange, IntRange

if TYPE_CHECKING:
    from nearline.evaluation.experiments.results import ExperimentResults
    from nearline.log import Appended


def _variants(
    _ctx: click.Context, _parameter: click.Parameter, texts: tuple[str, ...]
) -> dict[str, Any]:
    """Read entries NAME or NAME={...}, a JSON object with what the variant changes."""
    import msgspec

    found: dict[str, Any] = {}
    for text in texts:
        name, equals, value = text.partition("=")
        try:
            found[name] = msgspec.json.decode(value, type=dict[str, Any]) if equals else {}
        except msgspec.DecodeError:
            raise click.BadParameter(
                f'{text!r:.100} is not NAME or NAME=JSON, such as b=\'{{"scenario": "new"}}\''
            ) from None
    return found


@click.group(
    epilog=example(
        "nearline experiments put --store shop/ look --variant a "
        """--variant b='{"settings": {"diversity": 0.3}}'""",
        "nearline experiments results --store shop/ look",
    )
)
def experiments() -> None:
    """Store, compare and stop experiments: variants of lists that users are assigned to.

    While a server has the store open, use /v1/experiments instead.
    """


@experiments.command(
    "put", epilog=example("nearline experiments put --store shop/ look --variant a --variant b")
)
@click.argument("name")
@store_option
@click.option(
    "--variant",
    "variants",
    multiple=True,
    required=True,
    callback=_variants,
    metavar="NAME=JSON",
    help="Variant, and what it changes: scenario, model, settings, weight. The first is the "
    "control. Can be given several times.",
)
@click.option("--scenario", metavar="NAME", help="Only lists of this scenario.")
@click.option("--coverage", type=FloatRange(0, 1), help="Share of the users that take part.")
@click.option("--holdout", type=FloatRange(0, 1), help="Share of the users that are held out.")
@click.option(
    "--mode",
    type=click.Choice(["ab", "interleave"]),
    help="ab, or interleave: two variants make each list together.",
)
@click.option("--metric", metavar="KIND", help="Kind of event to compare by, such as purchase.")
@click.option("--seed", metavar="TEXT", help="Seed of the assignment, by default the name.")
@click.option("--segment", metavar="NAME", help="Attribute of users to show results by.")
@click.option("--planned", type=IntRange(100), help="Users at which intervals are to be narrowest.")
@json_option
def put_experiment(name: str, store: Path, as_json: bool, **given: Any) -> None:
    """Store the experiment NAME and start it; it replaces an experiment of that name."""
    fields = {field: value for field, value in given.items() if value is not None}
    with open_store(store, call=f"PUT /v1/experiments/{name}") as engine:
        _report(engine.experiments.put(name, **fields), f"Experiment {name} runs.", as_json)


@experiments.command("list", epilog=example("nearline experiments list --store shop/"))
@store_option
@json_option
def list_experiments(store: Path, as_json: bool) -> None:
    """List all experiments."""
    with open_store(store, call="GET /v1/experiments") as engine:
        found = engine.experiments.list()
    if as_json:
        write_json({"experiments": found})
        return
    rows = [
        [
            one["name"],
            "running" if one.get("running", True) else one.get("stopped", "not started"),
            ", ".join(one["variants"]),
            one.get("metric", "click"),
        ]
        for one in found
    ]
    write_table([["name", "state", "variants", "metric"], *rows])


@experiments.command("stop", epilog=example("nearline experiments stop --store shop/ look"))
@click.argument("name")
@store_option
@json_option
def stop_experiment(name: str, store: Path, as_json: bool) -> None:
    """Stop the experiment NAME; its results remain."""
    with open_store(store, call=f"POST /v1/experiments/{name}/stop") as engine:
        _report(engine.experiments.stop(name), f"Experiment {name} stopped.", as_json)


@experiments.command("delete", epilog=example("nearline experiments delete --store shop/ look"))
@click.argument("name")
@store_option
@json_option
def delete_experiment(name: str, store: Path, as_json: bool) -> None:
    """Delete the experiment NAME."""
    with open_store(store, call=f"DELETE /v1/experiments/{name}") as engine:
        _report(engine.experiments.delete(name), f"Experiment {name} deleted.", as_json)


@experiments.command("results", epilog=example("nearline experiments results --store shop/ look"))
@click.argument("name")
@store_option
@json_option
def experiment_results(name: str, store: Path, as_json: bool) -> None:
    """Compare the variants of the experiment NAME; the intervals are valid at any time."""
    with open_store(store, call=f"GET /v1/experiments/{name}/results") as engine:
        found = engine.experiments.results(name)
    if as_json:
        write_json(found)
    else:
        _show(found)


def _show(found: "ExperimentResults") -> None:
    rows = [
        [one.variant, f"{one.users:,}", f"{one.lists:,}", f"{one.rate:.2%}"]
        for one in found.variants
    ]
    write_table([["variant", "users", "lists", found.metric], *rows], numbers=[1, 2, 3])
    pairs = [("", one) for one in found.comparisons]
    pairs += [(segment, one) for segment, some in found.segments.items() for one in some]
    compared = [
        [
            f"{one.variant} {segment}".strip(),
            _number(one.difference),
            f"{_number(one.low)} to {_number(one.high)}",
            f"{one.p:.3f}",
            "yes" if one.significant else "no",
        ]
        for segment, one in pairs
    ]
    header = [f"against {found.control}", "difference", "interval", "p", "significant"]
    write_table([header, *compared], numbers=[1, 2, 3])
    click.echo(f"Shares of users as intended: {'yes' if found.sound else 'NO'}")
    if found.required_users is not None:
        click.echo(f"A change of 5 % needs {found.required_users:,} users in each variant.")
    for warning in found.warnings:
        click.echo(f"Warning: {warning}")


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:+.4f}"


def _report(appended: "Appended", sentence: str, as_json: bool) -> None:
    if as_json:
        write_json(appended)
    else:
        click.echo(sentence)
