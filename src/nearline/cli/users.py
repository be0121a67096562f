"""Commands for users: attributes, and what they say about their lists."""

from pathlib import Path
from typing import Any

import click

from nearline.cli.options import example, json_option, open_store, store_option
from nearline.cli.output import write_json, write_table


def _pairs(
    _ctx: click.Context, _parameter: click.Parameter, texts: tuple[str, ...]
) -> dict[str, Any]:
    """Read entries NAME=VALUE; numbers, true, false and JSON lists are read as such."""
    import msgspec

    found: dict[str, Any] = {}
    for text in texts:
        name, separator, value = text.partition("=")
        if not name or not separator:
            raise click.BadParameter(f"{text!r} is not NAME=VALUE, such as country=FR")
        try:
            read = msgspec.json.decode(value)
        except msgspec.DecodeError:
            read = value
        found[name] = value if read is None or isinstance(read, dict) else read
    return found


@click.command(
    epilog=example(
        "nearline user --store shop/ u1",
        "nearline user --store shop/ u1 --set country=FR --set age=31 --unset vip",
    )
)
@click.argument("user")
@store_option
@click.option(
    "--set",
    "changes",
    multiple=True,
    metavar="NAME=VALUE",
    callback=_pairs,
    help="Attribute to store; others keep their values. Can be given several times.",
)
@click.option(
    "--unset",
    multiple=True,
    metavar="NAME",
    help="Attribute to remove. Can be given several times.",
)
@json_option
def user(
    user: str, store: Path, changes: dict[str, Any], unset: tuple[str, ...], as_json: bool
) -> None:
    """Show the attributes and the history of USER, after changes if there are any."""
    with open_store(store) as engine:
        changed = changes | dict.fromkeys(unset)
        if changed:
            engine.change_user(user, changed)
        found = engine.user(user)
    if as_json:
        write_json(found)
        return
    rows = [[name, repr(value)] for name, value in found.attributes.items()]
    write_table([["attribute", "value"], *rows])
    past = [[one.item_id, f"{one.weight:g}", f"{one.timestamp:.0f}"] for one in found.history]
    write_table([["item", "weight", "time"], *past], numbers=[1, 2])


@click.command(
    epilog=example(
        "nearline critique --store shop/ u1 --less-of brand=Acme",
        "nearline critique --store shop/ u1 --not i7 --lasting",
    )
)
@click.argument("user")
@store_option
@click.option("--more-like", metavar="ITEM", help="Item of which the user wants more.")
@click.option("--not", "not_item", metavar="ITEM", help="Item that the user does not want.")
@click.option(
    "--less-of",
    multiple=True,
    metavar="NAME=VALUE",
    callback=_pairs,
    help="Attribute, or categories, with a value that the user wants less of.",
)
@click.option("--lasting", is_flag=True, help="The critique holds until it is revoked.")
@click.option("--revoke", metavar="ID", help="ID of a critique to revoke.")
@json_option
def critique(
    user: str,
    store: Path,
    more_like: str | None,
    not_item: str | None,
    less_of: dict[str, Any],
    lasting: bool,
    revoke: str | None,
    as_json: bool,
) -> None:
    """Store what USER says about a list, or revoke it, and show what holds.

    By default, a critique holds for an hour, and then until the next event of the user.
    """
    fields = {"more_like": more_like, "not": not_item, "less_of": less_of or None}
    given = {name: value for name, value in fields.items() if value is not None}
    if revoke is not None and given:
        raise click.UsageError("--revoke stands alone; send the critique in a second command")
    if lasting and not given:
        raise click.UsageError("--lasting needs a critique: --more-like, --not or --less-of")
    with open_store(store) as engine:
        if revoke is not None:
            engine.revoke_critique(user, revoke).result()
        elif given:
            engine.add_critique(user, given | {"lasting": lasting})[1].result()
        found = engine.critiques(user)
    if as_json:
        write_json({"user_id": user, "critiques": found})
        return
    rows = [[one.critique_id, _said(one), "yes" if one.lasting else "no"] for one in found]
    write_table([["id", "critique", "lasting"], *rows])


def _said(one: Any) -> str:
    if one.more_like is not None:
        return f"more like {one.more_like}"
    if one.not_item is not None:
        return f"not {one.not_item}"
    return "less of " + ", ".join(f"{name}={value}" for name, value in one.less_of.items())
