"""Commands for the audit log."""

from pathlib import Path

import click

from nearline.cli.keys import folder_option
from nearline.cli.options import check_store, example, json_option, open_store, store_option
from nearline.cli.output import printable, write_json, write_table


@click.group("audit", epilog=example("nearline audit verify --store shop/"))
def audit() -> None:
    """Verify and show the audit log, which `nearline serve --audit` writes; find made-up users."""


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


@audit.command("profiles", epilog=example("nearline audit profiles --store shop/"))
@store_option
@json_option
def profiles(store: Path, as_json: bool) -> None:
    """List users who are probably made up, and the items that they push.

    A server may have the store open. Nothing is changed.
    """
    import numpy as np

    from nearline.config import Config, with_settings_of
    from nearline.data import dataset_from_log
    from nearline.deployment.location import log_url
    from nearline.log import open_log
    from nearline.trust.profiles import profile_report

    check_store(store)
    weight = with_settings_of(store, Config()).state.weight
    with open_log(log_url(store), read_only=True) as log:
        data = dataset_from_log(log, log.end, weight)
    liked = data.histories.weights > 0
    users = np.repeat(np.arange(data.n_users), np.diff(data.histories.indptr))[liked]
    items = data.histories.items[liked].astype(np.int64)
    found = profile_report(users, items, data.user_ids, data.item_ids)
    if as_json:
        write_json(found)
        return
    click.echo(f"{found.checked:,} profiles checked, {len(found.profiles):,} suspected.")
    if not found.targets:
        return
    write_table(
        [
            ["item", "suspected", "users", "probability"],
            *(
                [one.item_id, str(one.profiles), str(one.users), f"{one.probability:.1e}"]
                for one in found.targets
            ),
        ]
    )
    write_table(
        [
            ["user", "profile", "score", "item"],
            *([one.user_id, one.reason, f"{one.score:.4f}", one.target] for one in found.profiles),
        ]
    )


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
