"""Commands for the audit log."""

from pathlib import Path

import click

from nearline.cli.keys import folder_option
from nearline.cli.options import example, json_option, open_store, store_option
from nearline.cli.output import printable, write_json, write_table


@click.group("audit", epilog=example("nearline audit verify --store shop/"))
def audit() -> None:
    """Verify and show the audit log, which `nearline serve --audit` writes."""


@audit.command("verify", epilog=example("nearline audit verify --store shop/"))
@folder_option
@json_option
def verify_log(folder: Path, as_json: bool) -> None:
    """Verify that no line was changed, added or removed; exit with 1 otherwise."""
    from nearline.trust.audit import verify

    found = verify(folder)
    if as_json:
        write_json(found)
    elif found.problem is None:
        click.echo(f"Intact: {found.lines:,} lines, {found.checkpoints:,} signatures.")
    else:
        click.echo(f"Not intact: {printable(found.problem)}; {found.lines:,} lines before it are.")
    if found.problem is not None:
        raise click.exceptions.Exit(1)


@audit.command("receipt", epilog=example("nearline audit receipt --store shop/ TOKEN"))
@click.argument("token")
@store_option
@json_option
def receipt(token: str, store: Path, as_json: bool) -> None:
    """Show what TOKEN, the receipt of an erasure, says, if this store made it."""
    with open_store(store) as engine:
        found = engine.read_receipt(token)
    if as_json:
        write_json(found)
        return
    write_table([["receipt", ""], *([name, str(value)] for name, value in found.items())])


@audit.command("show", epilog=example("nearline audit show --store shop/ --user u1"))
@folder_option
@click.option("--user", metavar="ID", help="Only lines about this user.")
@click.option("--key", metavar="ID", help="Only lines of this key.")
@json_option
def show(folder: Path, user: str | None, key: str | None, as_json: bool) -> None:
    """Show the lines of the audit log, of a user or of a key."""
    from nearline.errors import DataNotFound
    from nearline.trust.audit import read_lines

    try:
        found = list(read_lines(folder, user_id=user, key=key))
    except FileNotFoundError:
        raise DataNotFound(f"there is no audit log in {folder}; serve with --audit") from None
    if as_json:
        write_json({"lines": found})
        return
    names = ("at", "phase", "key", "method", "route", "namespace", "user", "status")
    rows = [[str(line.get(name, "")) for name in names] for line in found]
    write_table([list(names), *rows])
