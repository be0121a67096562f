"""Refusal of requests from web pages of other sites.

A page can send requests to a server on the machine of its visitor. Its site is in the ``Origin``
header. If a page makes its own name resolve to that machine (DNS rebinding), the name is in the
``Host`` header.
"""

import ipaddress
import re
from collections.abc import Sequence

from nearline.errors import InvalidInput
from nearline.server.exchange import Exchange
from nearline.server.middleware.api_keys import OPEN_PATHS
from nearline.trust.grants import Forbidden
from nearline.trust.keyring import Keyring

# Maximum number of ``Host`` headers, with any port, that are remembered as allowed.
MAX_REMEMBERED = 1_000
_HOST = re.compile(r"(?P<name>\[[0-9a-f:.]+\]|[^:\[\]/@]+)(:[0-9]{1,5})?")
_ORIGIN = re.compile(r"https?://(?P<host>[^/]+)")


def allowed_names(address: str, allow_hosts: Sequence[str]) -> frozenset[str] | None:
    """Return the host names that a server at an IP address accepts; None accepts all.

    At a loopback address, these are the names of this machine and `allow_hosts`. At any other
    address, an API key is required, which a page of another site does not have, so all names are
    accepted if `allow_hosts` is empty.

    Raises
    ------
    InvalidInput
        One of `allow_hosts` is not a host name but, for example, a URL.
    """
    names = frozenset(name.lower() for name in allow_hosts)
    for name in names:
        match = _HOST.fullmatch(name)
        if match is None or match["name"] != name:
            raise InvalidInput(
                f"allow_hosts has {name!r:.100}; give a host name without scheme and port, such as "
                "shop.example",
                field="allow_hosts",
            )
    if ipaddress.ip_address(address).is_loopback or names:
        return names
    return None


class AllowedHosts:
    """Checks the ``Host`` and ``Origin`` headers of each request, except on open paths.

    Parameters
    ----------
    names : frozenset of str or None
        Names that are allowed in addition to those of this machine; None allows all.
    keyring : Keyring or None
        Keys, of which publishable ones allow pages of other sites.
    """

    def __init__(self, names: frozenset[str] | None, keyring: Keyring | None = None) -> None:
        self._names = names
        self._keyring = keyring
        self._remembered: set[bytes] = set()

    def check(self, exchange: Exchange) -> None:
        """Raise `Forbidden` unless the headers are allowed."""
        headers = exchange.headers
        host = headers.get(b"host")
        if host not in self._remembered and host is not None:
            self._check_host(host, exchange.path)
        if b"origin" in headers and not self._shared(exchange, headers[b"origin"]):
            self._check_origin(headers[b"origin"], host)

    def checked(self, host: bytes | None) -> bool:
        """Return whether a ``Host`` header was allowed before, or none is needed."""
        return self._names is None or host in self._remembered

    def _check_host(self, host: bytes, path: bytes) -> None:
        if self._names is None or path in OPEN_PATHS:
            return
        name = _name_of(host)
        if not _is_local(name) and name not in self._names:
            raise Forbidden(
                f"the request is for host {host.decode('latin-1')!r:.100}, which this server "
                "does not accept; use 127.0.0.1, or start the server with --allow-host NAME"
            )
        if len(self._remembered) < MAX_REMEMBERED:
            self._remembered.add(host)

    def _shared(self, exchange: Exchange, origin: bytes) -> bool:
        """Return whether a publishable key allows an origin, whose pages may read the response.

        That the request carries such a key is checked later; a preflight carries none.
        """
        if self._keyring is None or origin.decode("latin-1") not in self._keyring.origins:
            return False
        exchange.origin = origin
        return True

    def _check_origin(self, origin: bytes, host: bytes | None) -> None:
        match = _ORIGIN.fullmatch(origin.decode("latin-1").lower())
        sent = "" if match is None else match["host"]
        if host is not None and sent == host.decode("latin-1").lower():
            return
        if self._names and sent and _name_of(sent.encode("latin-1")) in self._names:
            return
        raise Forbidden(
            f"the request comes from a web page of {origin.decode('latin-1')!r:.100}, another "
            "site; start the server with --allow-host NAME if that site may use it"
        )


def _name_of(host: bytes) -> str:
    match = _HOST.fullmatch(host.decode("latin-1").lower())
    return "" if match is None else match["name"]


def _is_local(name: str) -> bool:
    if name == "localhost" or name.endswith(".localhost"):
        return True
    try:
        return ipaddress.ip_address(name.strip("[]")).is_loopback
    except ValueError:
        return False
