"""Connections to PostgreSQL: timeouts on both sides, and errors of this package."""

import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from threading import Event, Lock, Thread
from typing import TYPE_CHECKING, Any, TypeVar

from nearline.errors import (
    Closed,
    Damaged,
    InvalidInput,
    LogUnavailable,
    MissingExtra,
    StorageFailed,
)
from nearline.log.postgres.arrays import register_arrays
from nearline.log.postgres.target import PostgresTarget

if TYPE_CHECKING:
    from psycopg import Connection

T = TypeVar("T")

# Limits of the server: waiting for a lock, and one statement.
LOCK_MS, STATEMENT_MS = 5_000, 30_000
# Seconds after which a connection that does not answer is given up. The server may be frozen, so
# its own limits are not enough.
CONNECT_SECONDS, ANSWER_SECONDS = 3, 10.0
_WATCH_SECONDS = 0.25
# Plans are kept, and made while a new log is small or has no statistics. The planner would then
# compare each list with the whole log, and do so until the log has statistics.
_BY_INDEX = "".join(
    f", set_config('{name}', 'off', false)"
    for name in ("enable_seqscan", "enable_hashjoin", "enable_mergejoin", "jit")
)
_IDLE = 4  # connections that are kept open for reading
# https://www.postgresql.org/docs/current/errcodes-appendix.html
_FULL = ("53100", "53200")
_DAMAGED = ("XX001", "XX002")


class Connections:
    """Connections of one log; each is used by one thread at a time.

    Attributes
    ----------
    target : PostgresTarget
        Where the log is.
    """

    def __init__(self, target: PostgresTarget) -> None:
        self.target = target
        self._idle: list[Connection[Any]] = []
        self._deadlines: dict[Connection[Any], float] = {}
        self._lock = Lock()
        self._closing = Event()
        self._thread = Thread(target=self._watch, name="nearline-watch-log", daemon=True)
        self._thread.start()

    def connect(self) -> "Connection[Any]":
        """Open a connection in autocommit mode, with the limits of this module."""
        psycopg = _psycopg()
        with self.explained():
            connection: Connection[Any] = psycopg.connect(
                self.target.conninfo,
                autocommit=True,
                connect_timeout=CONNECT_SECONDS,
                application_name="nearline",
                keepalives_idle=5,
                keepalives_interval=2,
                keepalives_count=3,
                tcp_user_timeout=int(ANSWER_SECONDS * 1_000),
            )
            try:
                register_arrays(connection)
                with self.within(connection):
                    connection.execute(
                        "SELECT set_config('lock_timeout', %s, false), "
                        "set_config('statement_timeout', %s, false), "
                        "set_config('search_path', %s, false), "
                        # A commit must be durable before it is acknowledged.
                        "CASE WHEN current_setting('synchronous_commit') IN ('off', 'local') "
                        "THEN set_config('synchronous_commit', 'on', false) END" + _BY_INDEX,
                        (str(LOCK_MS), str(STATEMENT_MS), f"{self.target.schema}, public"),
                    )
            except BaseException:
                connection.close()
                raise
        return connection

    @contextmanager
    def within(self, connection: "Connection[Any]", seconds: float | None = None) -> Iterator[None]:
        """Return a context after whose time, `ANSWER_SECONDS` by default, a connection is cut."""
        self._deadlines[connection] = time.monotonic() + (seconds or ANSWER_SECONDS)
        try:
            yield
        finally:
            self._deadlines.pop(connection, None)

    @contextmanager
    def reading(self) -> Iterator["Connection[Any]"]:
        """Return a context with a connection for a few statements, which is used again."""
        if self._closing.is_set():
            raise Closed("the log is closed; open the store again")
        with self._lock:
            connection = self._idle.pop() if self._idle else None
        if connection is None or connection.closed:
            connection = self.connect()
        try:
            with self.explained(), self.within(connection):
                yield connection
        except LogUnavailable:
            self._forget_idle()  # most likely all of them are broken
            raise
        finally:
            with self._lock:
                if not connection.closed and len(self._idle) < _IDLE and not self._closing.is_set():
                    self._idle.append(connection)
                else:
                    connection.close()

    def query(self, do: "Callable[[Connection[Any]], T]") -> T:
        """Execute statements that read; once more if a connection was lost since its last use."""
        try:
            with self.reading() as db:
                return do(db)
        except LogUnavailable:
            with self.reading() as db:
                return do(db)

    @contextmanager
    def explained(self) -> Iterator[None]:
        """Return a context in which exceptions of psycopg become those of this package."""
        psycopg = _psycopg()
        shown = self.target.shown
        try:
            yield
        except psycopg.Error as error:
            code, text = error.sqlstate, " ".join(str(error).split())
            if code in _FULL:
                raise StorageFailed(
                    f"{shown}: {text}; nothing of this call was stored: free space or "
                    "memory, then try again"
                ) from error
            if code in _DAMAGED:
                raise Damaged(f"{shown}: {text}; restore the database from a backup") from error
            if isinstance(error, psycopg.ProgrammingError) and code is None:
                raise InvalidInput(f"the URL of the log is not valid: {text}", field="store") from (
                    error
                )
            raise LogUnavailable(
                f"{shown} cannot be used at the moment ({text}); try again in a second"
            ) from error

    def close(self) -> None:
        """Close the idle connections, and cut those in use at the end of their time."""
        self._closing.set()
        self._forget_idle()

    def stop_watching(self) -> None:
        """End the thread that cuts connections; the last call."""
        self._thread.join()

    def _forget_idle(self) -> None:
        with self._lock:
            idle, self._idle = self._idle, []
        for connection in idle:
            connection.close()

    def _watch(self) -> None:
        while not self._closing.wait(_WATCH_SECONDS) or self._deadlines:
            now = time.monotonic()
            for connection, deadline in list(self._deadlines.items()):
                if now > deadline:
                    cut(connection)
            if self._closing.is_set():
                time.sleep(_WATCH_SECONDS)


def cut(connection: "Connection[Any]") -> None:
    """Cut a connection, so that the thread that waits for an answer gets an error."""
    with suppress(Exception), socket.fromfd(connection.fileno(), 0, socket.SOCK_STREAM) as own:
        own.shutdown(socket.SHUT_RDWR)


def _psycopg() -> Any:
    try:
        import psycopg
    except ImportError as error:
        raise MissingExtra(
            "a log in PostgreSQL needs psycopg; install it: pip install 'nearline[postgres]'"
        ) from error
    return psycopg
