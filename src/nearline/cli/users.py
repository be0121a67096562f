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
        "nearline user --store shop/ u1 --export u1.zip",
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
@click.option(
    "--export",
    "export_to",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE",
    help="Write everything that is stored about USER to this ZIP file, which `nearline import` "
    "reads.",
)
@json_option
def user(
    user: str,
    store: Path,
    changes: dict[str, Any],
    unset: tuple[str, ...],
    export_to: Path | None,
    as_json: bool,
) -> None:
    """Show the attributes and the history of USER, after changes if there are any."""
    with open_store(store) as engine:
        if export_to is not None:
            if export_to.exists():
                raise click.UsageError(f"{export_to} exists; name a file that does not")
            size = len(engine.export_user(user, export_to))
            click.echo(f"Wrote {export_to}: {size:,} bytes", err=True)
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


@click.command(
    epilog=example(
        "nearline consent --store shop/ u1 --no-profiling",
        "nearline consent --store shop/ u1 --profiling --purpose recommendations",
    )
)
@click.argument("user")
@store_option
@click.option(
    "--profiling/--no-profiling",
    default=None,
    help="Whether lists and models may use what is stored about the user.",
)
@click.option(
    "--purpose",
    "purposes",
    multiple=True,
    metavar="NAME",
    help="Purpose to which the user agreed. Can be given several times.",
)
@json_option
def consent(
    user: str, store: Path, profiling: bool | None, purposes: tuple[str, ...], as_json: bool
) -> None:
    """Store what USER allows, and show it.

    Without profiling, the user's lists are those of a stranger, and models are as if the user had
    never been seen.
    """
    if purposes and profiling is None:
        raise click.UsageError("--purpose needs --profiling or --no-profiling")
    with open_store(store) as engine:
        if profiling is not None:
            engine.put_consent(user, profiling=profiling, purposes=purposes)
        found = engine.consent(user)
    if as_json:
        write_json(found)
        return
    row = ["yes" if found.profiling else "no", ", ".join(found.purposes)]
    write_table([["profiling", "purposes"], row])


@click.command(
    epilog=example(
        "nearline tags --store shop/ u1",
        "nearline tags --store shop/ u1 --delete brand=Acme",
    )
)
@click.argument("user")
@store_option
@click.option("--delete", "deleted", metavar="TAG", help="Tag to delete from the profile.")
@json_option
def tags(user: str, store: Path, deleted: str | None, as_json: bool) -> None:
    """List the interest tags of USER, after the deletion of one if it is named.

    A tag is a category of items, or NAME=VALUE of an attribute. Lists do not depend on earlier
    events with a deleted tag.
    """
    with open_store(store) as engine:
        if deleted is not None:
            engine.delete_tag(user, deleted).result()
        found = engine.tags(user)
    if as_json:
        write_json({"user_id": user, "tags": found})
        return
    rows = [[one.tag, f"{one.weight:.3f}", str(one.items)] for one in found]
    write_table([["tag", "weight", "items"], *rows], numbers=[1, 2])
