"""Options of `nearline serve` that concern security."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

if TYPE_CHECKING:
    from nearline.server import Tls

C = TypeVar("C", bound=Callable[..., Any])
_FILE = click.Path(path_type=Path, dir_okay=False)
_RATE = click.FloatRange(0, 1e9, min_open=True)


def security_options(command: C) -> C:
    """Add the options; the command gets them as the mapping `security`."""
    options = (
        click.option(
            "--keys",
            "keys_folder",
            type=click.Path(path_type=Path, file_okay=False),
            metavar="DIR",
            help="Folder with the keys that `nearline keys` made.  [default: that of the store]",
        ),
        click.option(
            "--key-rate", type=_RATE, help="Requests per second with one key; others get 429."
        ),
        click.option(
            "--address-rate",
            type=_RATE,
            help="Requests per second from one address; others get 429. Not behind a proxy, for "
            "which all clients have its address.",
        ),
        click.option(
            "--gpc",
            is_flag=True,
            help="The header Sec-GPC: 1 of a browser means a list without profiling.",
        ),
        click.option(
            "--audit",
            is_flag=True,
            help="Write an audit log to the folder of the keys: who did what to whose data.",
        ),
        click.option(
            "--pseudonyms",
            is_flag=True,
            help="Replace IDs of users by HMACs, with a key in the folder of the keys, before they "
            "reach the log.",
        ),
        click.option(
            "--show-ids",
            is_flag=True,
            help="Log lines of errors contain IDs of users and items; they are masked otherwise.",
        ),
        click.option("--tls-cert", type=_FILE, help="Certificate chain (PEM): serve over TLS."),
        click.option("--tls-key", type=_FILE, help="Private key (PEM) of the certificate."),
        click.option(
            "--tls-key-password",
            envvar="NEARLINE_TLS_KEY_PASSWORD",
            show_envvar=True,
            help="Password of the private key. Prefer the environment variable.",
        ),
        click.option(
            "--tls-client-ca",
            type=_FILE,
            help="Certificates (PEM) of authorities: only clients with a certificate of one of "
            "them are accepted.",
        ),
    )
    for option in reversed(options):
        command = option(command)
    return command


def take_security(given: dict[str, Any], folder: Path | None) -> "dict[str, Any]":
    """Return the arguments of `server.serve` that the options mean.

    Parameters
    ----------
    given : dict
        Values of the options by name.
    folder : Path or None
        Folder of the store or stores, where the keys are unless an option names another folder.
    """
    from nearline.server import Security

    security: Security = Security(
        key_rate=given["key_rate"],
        address_rate=given["address_rate"],
        gpc=given["gpc"],
        show_ids=given["show_ids"],
        audit=given["audit"],
        pseudonyms=given["pseudonyms"],
    )
    return {
        "security": security,
        "keys": given["keys_folder"] or folder,
        "tls": _tls(given),
    }


def _tls(given: dict[str, Any]) -> "Tls | None":
    from nearline.server import Tls

    certificate, key = given["tls_cert"], given["tls_key"]
    if (certificate is None) != (key is None):
        raise click.UsageError("--tls-cert and --tls-key belong together: give both")
    if certificate is None:
        if given["tls_client_ca"] is not None:
            raise click.UsageError("--tls-client-ca needs --tls-cert and --tls-key")
        return None
    return Tls(
        certificate=certificate,
        key=key,
        key_password=given["tls_key_password"],
        client_authority=given["tls_client_ca"],
    )
