"""The command that lists models and their settings."""

import inspect
import json

import click

from nearline.cli.options import example, json_option
from nearline.cli.output import write_json, write_table


@click.command(epilog=example("nearline models", "nearline models item_graph"))
@click.argument("name", required=False)
@json_option
def models(name: str | None, as_json: bool) -> None:
    """List the models, or the settings of the model NAME.

    `nearline train --search` and `nearline compare --search` vary the settings marked "searched".
    """
    from nearline.models.registry import discover, model_class, settings_of

    kinds = discover() if name is None else {name: model_class(name)}
    if as_json:
        write_json(
            [
                {
                    "name": kind.name,
                    "summary": _summary(kind),
                    "needs_ratings": kind.needs_ratings,
                    "settings": settings_of(kind),
                    "searched": list(kind.space),
                }
                for kind in kinds.values()
            ]
        )
        return
    if name is None:
        rows = [[each, _summary(kind)] for each, kind in kinds.items()]
        write_table([["model", "description"], *rows])
        return
    kind = kinds[name]
    click.echo(f"{inspect.getdoc(kind)}\n")
    rows = [
        [setting, json.dumps(default), "searched" if setting in kind.space else ""]
        for setting, default in settings_of(kind).items()
    ]
    write_table([["setting", "default", ""], *rows], numbers=[1])


def _summary(kind: type) -> str:
    return (inspect.getdoc(kind) or "").partition("\n\n")[0].replace("\n", " ")
