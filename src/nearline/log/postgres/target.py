"""URLs of logs in PostgreSQL."""

import re
from pathlib import Path
from typing import NamedTuple
from urllib.parse import parse_qsl, quote, urlencode, urlsplit, urlunsplit

from nearline.errors import InvalidInput

SCHEMES = ("postgresql", "postgres")
SCHEMA = "nearline"
# Parameters of the URL that are for this package; all others are passed on to the client library.
OWN = ("schema", "folder", "snapshots")
_NAME = re.compile(r"[a-z_][a-z0-9_]{0,40}\Z")


class PostgresTarget(NamedTuple):
    """Where a log in PostgreSQL is, and the folders of a store that uses it.

    Attributes
    ----------
    url : str
        The whole URL.
    conninfo : str
        URL for the client library.
    schema : str
        Schema of the log's tables.
    folder : Path
        Folder of the checkpoint and other files that can be rebuilt.
    snapshots : Path or None
        Folder of the snapshots, which servers share; None for one in `folder`.
    """

    url: str
    conninfo: str
    schema: str
    folder: Path
    snapshots: Path | None

    @property
    def shown(self) -> str:
        """The URL without password and parameters, for messages."""
        parts = urlsplit(self.conninfo)
        host = parts.netloc.rpartition("@")[2]
        return f"{parts.scheme}://{host}{parts.path} (schema {self.schema})"


def is_postgres(url: object) -> bool:
    """Return whether a value is the URL of a log in PostgreSQL."""
    return isinstance(url, str) and url.startswith(tuple(f"{scheme}://" for scheme in SCHEMES))


def parse_target(url: str) -> PostgresTarget:
    """Parse ``postgresql://user@host:port/database?schema=NAME&folder=DIR&snapshots=DIR``.

    Further parameters are those of libpq, such as ``sslmode=verify-full`` and ``sslrootcert``.

    Raises
    ------
    InvalidInput
        The name of the schema is not valid, or a parameter occurs twice.
    """
    parts = urlsplit(url)
    pairs = parse_qsl(parts.query, keep_blank_values=True)
    own = {name: value for name, value in pairs if name in OWN}
    if len(pairs) != len(dict(pairs)):
        raise InvalidInput("a parameter of the store's URL occurs twice", field="store")
    schema = own.get("schema", SCHEMA)
    if not _NAME.match(schema):
        raise InvalidInput(
            f"schema is {schema!r:.60}; it has lower-case letters, digits and underscores, and "
            "begins with a letter",
            field="store",
        )
    rest = urlencode([pair for pair in pairs if pair[0] not in OWN], quote_via=quote)
    conninfo = urlunsplit(parts._replace(query=rest))
    if not parts.netloc:  # `urlunsplit` drops the empty host of a Unix socket
        conninfo = f"{parts.scheme}://{parts.path}" + (f"?{rest}" if rest else "")
    default = Path.home() / ".local/share/nearline" / _folder_name(parts.netloc, parts.path, schema)
    folder = Path(own["folder"]) if own.get("folder") else default
    snapshots = Path(own["snapshots"]) if own.get("snapshots") else None
    return PostgresTarget(url, conninfo, schema, folder, snapshots)


def _folder_name(netloc: str, path: str, schema: str) -> str:
    host = netloc.rpartition("@")[2] or "local"
    return re.sub(r"[^\w.-]+", "-", f"{host}{path}-{schema}")
