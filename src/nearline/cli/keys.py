"""Commands for API keys."""

import time
from pathlib import Path
from typing import Any

import click

from nearline.cli.options import example, json_option
from nearline.cli.output import write_json, write_table
from nearline.cli.ranges import Duration
from nearline.trust.grants import SCOPES

folder_option = click.option(
    "--store",
    "folder",
    type=click.Path(path_type=Path, file_okay=False),
    required=True,
    envvar="NEARLINE_STORE",
    show_envvar=True,
    metavar="DIR",
    help="Folder of the store, or of several stores (serve --stores).",
)


@click.group("keys", epilog=example("nearline keys create --store shop/ --scope read"))
def keys() -> None:
    """Make, list and revoke API keys.

    Once a key was made, `nearline serve` needs one for each request.
    """


@keys.command(
    "create",
    epilog=example(
        "nearline keys create --store shop/ --scope read --scope events --label 'web shop'",
        "nearline keys create --store tenants/ --scope items --namespace acme --expires 90d",
        "nearline keys create --store shop/ --publishable --origin https://shop.example",
        "nearline keys create --store shop/ --rotate 4f1d2c3b4a59 --overlap 7d",
    ),
)
@folder_option
@click.option(
    "--scope",
    "scopes",
    type=click.Choice(SCOPES),
    multiple=True,
    help="What the key allows; admin includes all others. Can be given several times.",
)
@click.option(
    "--namespace",
    "namespaces",
    multiple=True,
    metavar="NAME",
    help="Namespace to which the key is bound. Can be given several times.",
)
@click.option("--label", default="", metavar="TEXT", help="What the key is for.")
@click.option("--expires", type=Duration(), metavar="TIME", help="Validity, such as 90d or 12h.")
@click.option(
    "--rate", type=click.FloatRange(0, min_open=True), help="Requests per second with this key."
)
@click.option(
    "--publishable",
    is_flag=True,
    help="Create a key for browsers, which is not secret: it can read lists of items, and the "
    "lists of the user that a signed token names.",
)
@click.option(
    "--origin",
    "origins",
    multiple=True,
    metavar="URL",
    help="Origin of the pages that may use a publishable key, such as https://shop.example. Can be "
    "given several times.",
)
@click.option("--rotate", metavar="ID", help="Make a key with the rights of this one, which ends.")
@click.option(
    "--overlap",
    type=Duration(),
    default="1d",
    show_default=True,
    metavar="TIME",
    help="With --rotate: time for which the old key stays valid.",
)
@json_option
def create(
    folder: Path,
    scopes: tuple[str, ...],
    namespaces: tuple[str, ...],
    label: str,
    expires: float | None,
    rate: float | None,
    publishable: bool,
    origins: tuple[str, ...],
    rotate: str | None,
    overlap: float,
    as_json: bool,
) -> None:
    """Make a key and print it. It is shown only once; the store keeps an HMAC of it."""
    from nearline.trust.keys import KeyStore

    store, now = KeyStore(folder), time.time()
    if rotate is not None:
        if scopes or namespaces or label or rate is not None or publishable or origins or expires:
            raise click.UsageError("--rotate takes all rights from the old key; give it alone")
        made = store.rotate(rotate, now=now, overlap=overlap)
    else:
        if publishable and not scopes:
            scopes = ("read",)
        if not scopes:
            raise click.UsageError(f"Name at least one --scope of {', '.join(SCOPES)}.")
        made = store.create(
            scopes,
            now=now,
            namespaces=namespaces or None,
            label=label,
            expires=None if expires is None else now + expires,
            publishable=publishable,
            origins=origins,
            rate=rate,
        )
    if as_json:
        write_json(made)
        return
    click.echo(made.key)
    if made.token_secret is not None:
        click.echo(f"token secret: {made.token_secret}")
    click.echo("Keep it now: it is not shown again.", err=True)


@keys.command("list", epilog=example("nearline keys list --store shop/"))
@folder_option
@json_option
def list_keys(folder: Path, as_json: bool) -> None:
    """List all keys, the newest first, without their secrets."""
    from nearline.trust.keys import KeyStore

    found = KeyStore(folder).listed(time.time())
    if as_json:
        write_json({"keys": found})
        return
    rows = [
        [
            key.id,
            "valid" if key.valid else "ended",
            ",".join(key.scopes) + (" (publishable)" if key.publishable else ""),
            "all" if key.namespaces is None else ",".join(key.namespaces),
            _day(key.expires),
            _day(key.last_used),
            key.label,
        ]
        for key in found
    ]
    head = ["id", "state", "scopes", "namespaces", "expires", "last used", "label"]
    write_table([head, *rows])


@keys.command("revoke", epilog=example("nearline keys revoke --store shop/ 4f1d2c3b4a59"))
@click.argument("key_id", metavar="ID")
@folder_option
@json_option
def revoke(key_id: str, folder: Path, as_json: bool) -> None:
    """End a key. A running server refuses it within a second."""
    from nearline.trust.keys import KeyStore

    KeyStore(folder).revoke(key_id, now=time.time())
    if as_json:
        write_json({"revoked": key_id})
    else:
        click.echo(f"Key {key_id} is revoked.")


def _day(seconds: Any) -> str:
    if seconds is None:
        return "never"
    return time.strftime("%Y-%m-%d %H:%M", time.gmtime(seconds))
