"""Commands that show, freeze and reset the weights of relations."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from nearline.cli.options import example, json_option, open_store, store_option
from nearline.cli.output import write_json, write_table

if TYPE_CHECKING:
    from nearline.engine.adaptation import Weights


@click.group(
    epilog=example(
        "nearline weights show --store shop/",
        "nearline weights freeze --store shop/",
        "nearline weights reset --store shop/",
    )
)
def weights() -> None:
    """Show, freeze and reset the weights of relations, which follow the events with `adapt`.

    While a server has the store open, use /v1/weights instead.
    """


@weights.command("show", epilog=example("nearline weights show --store shop/ --json"))
@store_option
@json_option
def show_weights(store: Path, as_json: bool) -> None:
    """Show the weight of each relation: as trained, its factor, and the product."""
    with open_store(store, call="GET /v1/weights") as engine:
        _show(engine.weights(), as_json)


@weights.command(
    "freeze",
    epilog=example(
        "nearline weights freeze --store shop/", "nearline weights freeze --store shop/ --off"
    ),
)
@store_option
@click.option("--off", is_flag=True, help="Let the factors follow the events again.")
@json_option
def freeze_weights(store: Path, off: bool, as_json: bool) -> None:
    """Keep the factors of the weights as they are."""
    with open_store(store, call="PUT /v1/weights") as engine:
        engine.freeze_weights(frozen=not off)
        _show(engine.weights(), as_json)


@weights.command("reset", epilog=example("nearline weights reset --store shop/"))
@store_option
@json_option
def reset_weights(store: Path, as_json: bool) -> None:
    """Return to the weights that training found: all factors are 1 again."""
    with open_store(store, call="DELETE /v1/weights") as engine:
        engine.reset_weights()
        _show(engine.weights(), as_json)


def _show(found: "Weights", as_json: bool) -> None:
    if as_json:
        write_json(found)
        return
    if not found.trained:
        click.echo("The active model has no weights of relations that could follow the events.")
        return
    rows = []
    for relation, trained in found.trained.items():
        factor = found.factors.get(relation, 1.0)
        rows.append([relation, f"{trained:.4g}", f"{factor:.3f}", f"{trained * factor:.4g}"])
    write_table([["relation", "trained", "factor", "weight"], *rows], numbers=(1, 2, 3))
    click.echo(f"Frozen: {'yes' if found.frozen else 'no'}. Changes: {len(found.history)}.")
