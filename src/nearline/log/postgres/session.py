"""Registration of a server with the log, and the statements that a server executes."""

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple
from uuid import UUID, uuid4

from nearline.errors import Damaged, DataNotFound, InvalidInput, LogUnavailable, StaleLease
from nearline.log.base import ForgottenRows, Lease
from nearline.log.codec import KINDS, Coded, decode
from nearline.log.forgotten import ForgottenUsers
from nearline.log.postgres.arrays import bytea_array, float8_array, int8_array
from nearline.log.postgres.connections import Connections
from nearline.log.postgres.forgotten import secret_of
from nearline.log.postgres.migrations import STEPS, VERSION
from nearline.schema import Erased, Record

if TYPE_CHECKING:
    from psycopg import Connection

READ_BLOCK = 1_000
# Seconds without a sign of life after which a server no longer delays erasures.
ALIVE_SECONDS = 20.0
# Servers that were not seen for this long are removed from the table.
_GONE = "1 day"
_ERASED = Erased()
_HEAD = "SELECT next_place, erasures, log_id, secret FROM head"
_ROWS = "SELECT place, payload, erased FROM log WHERE place >= %s AND place < %s ORDER BY place"
_APPEND = (
    "SELECT first_place, rejected, ignored FROM append("
    "%s, %s, %b::bytea[], %s::bigint[], %b::bytea[], %s, %s, %s, "
    "%b::bytea[], %b::bytea[], %s::float8[])"
)
_SEEN = (
    "UPDATE servers SET seen = clock_timestamp(), place = %s, erasures = %s WHERE id = %s "
    "RETURNING sequence"
)
_UNREAD = "SELECT kinds FROM servers WHERE seen > clock_timestamp() - make_interval(secs => %s)"

Row = tuple[int, bytes, int | None]


class LogHead(NamedTuple):
    """End and number of erasures of the log, its ID, and the secret of its cursors."""

    end: int
    erasures: int
    log_id: UUID
    secret: bytes


class AppendedRows(NamedTuple):
    """First offset of an append, and the positions (from 0) of records that were not stored.

    Attributes
    ----------
    first : int
    rejected, ignored : set of int
        Duplicates, and events of users who were erased after them.
    """

    first: int
    rejected: set[int]
    ignored: set[int]


def prepare(connections: Connections, secret: bytes) -> None:
    """Create the tables, or bring those of an older version up to date.

    Raises
    ------
    InvalidInput
        A newer version of this package made the tables.
    """
    schema = connections.target.schema
    with connections.reading() as db:
        if _version(db, schema) == VERSION:
            return
        with db.transaction():
            db.execute("SELECT pg_advisory_xact_lock(hashtext(%s))", (f"nearline {schema}",))
            db.execute(f"CREATE SCHEMA IF NOT EXISTS {schema}")
            db.execute(
                f"CREATE TABLE IF NOT EXISTS {schema}.migrations (version integer PRIMARY KEY)"
            )
            version = _version(db, schema)
            if version > VERSION:
                raise InvalidInput(
                    f"{connections.target.shown} has format {version}; this version of nearline "
                    f"reads up to {VERSION}: upgrade nearline",
                    field="store",
                )
            for number in range(version, VERSION):
                db.execute(STEPS[number])
                db.execute("INSERT INTO migrations VALUES (%s)", (number + 1,))
            if version == 0:
                db.execute("INSERT INTO head (secret) VALUES (%s)", (secret,))


def _version(db: "Connection[Any]", schema: str) -> int:
    """Return the version of the tables; 0 without tables."""
    if db.execute("SELECT to_regclass(%s)", (f"{schema}.migrations",)).fetchone() == (None,):
        return 0
    row = db.execute(f"SELECT coalesce(max(version), 0) FROM {schema}.migrations").fetchone()  # noqa: S608 (a checked name)
    return int(row[0]) if row else 0


def head_of(db: "Connection[Any]") -> LogHead:
    """Return the head of the log."""
    row = db.execute(_HEAD, prepare=True).fetchone()
    if row is None:
        raise Damaged("the table head of the log has no row; restore the database from a backup")
    return LogHead(*row)


def check_exists(connections: Connections) -> None:
    """Raise `DataNotFound` unless the database has a log."""
    with connections.reading() as db:
        if _version(db, connections.target.schema) == 0:
            raise DataNotFound(f"there is no log at {connections.target.shown}; name another store")


def rows(db: "Connection[Any]", start: int, stop: int, shown: str) -> list[Row]:
    """Return the rows of up to `READ_BLOCK` offsets; raise `Damaged` if one is missing."""
    stop = min(stop, start + READ_BLOCK)
    found: list[Row] = db.execute(_ROWS, (start, stop), binary=True, prepare=True).fetchall()
    if len(found) != stop - start:
        raise Damaged(
            f"{shown}: offsets are missing in [{start}, {stop}); restore the database from a backup"
        )
    return found


def records(found: Sequence[Row], erasures: int) -> Iterator[tuple[int, Record]]:
    """Decode rows; those of the first `erasures` erasures are `Erased`."""
    for place, payload, erased in found:
        hidden = erased is not None and erased <= erasures
        yield place, _ERASED if hidden else decode(place, payload)


class Registration:
    """One server's registration, under which it appends.

    Attributes
    ----------
    id : UUID
        ID of this opening of the log.
    sequence, acknowledged : int
        Numbers of the last append, and of the last one that was answered.
    forgotten : ForgottenUsers
        Key of the hashes of erased users, which are in the database only.
    unread : frozenset of str
        Kinds of records that another live server cannot read yet, so that none may be appended.
    """

    def __init__(self, connections: Connections) -> None:
        self.id = uuid4()
        self.sequence = self.acknowledged = 0
        self.unread: frozenset[str] = frozenset()
        self._shown = connections.target.shown
        with connections.reading() as db, db.transaction():
            # Under the lock of the head, so that no erasure is between both.
            db.execute("SELECT FROM head FOR UPDATE")
            self.head = head_of(db)
            self.forgotten = ForgottenUsers(ForgottenRows(secret_of(db)))
            db.execute(
                "INSERT INTO servers (id, version, kinds, place, erasures) "
                "VALUES (%s, %s, %s, %s, %s)",
                (self.id, str(VERSION), list(KINDS), self.head.end, self.head.erasures),
            )

    def append(
        self,
        db: "Connection[Any]",
        coded: Sequence[Coded],
        sequence: int,
        lease: Lease | None,
        records: Sequence[Record] | None,
    ) -> AppendedRows:
        """Append records, without those of users who were erased after them; None omits no such.

        Calls with the same `sequence` append once.
        """
        keys = [one.event_key for one in coded]
        keyed = any(key is not None for key in keys)
        payloads = bytea_array([one.payload for one in coded])
        users = int8_array([one.user_key for one in coded])
        held = (None, None) if lease is None else lease
        people = ids = times = None
        if records is not None:
            columns = zip(*self.forgotten.digests(records, keys), strict=True)
            some, others, stamps = columns
            people, ids, times = bytea_array(some), bytea_array(others), float8_array(stamps)
        arguments = (
            self.id, sequence, payloads, users, bytea_array(keys), keyed, *held, people, ids, times
        )  # fmt: skip
        try:
            row = db.execute(_APPEND, arguments, prepare=True).fetchone()
        except Exception as error:
            state = getattr(error, "sqlstate", None)
            if state == "NL001":
                raise self.went_back() from error
            if state == "NL002":
                name = lease.name if lease else ""
                raise StaleLease(
                    f"another server has taken over {name!r}; nothing was stored"
                ) from error
            raise
        if row is None:
            raise LogUnavailable(f"{self._shown} gave no answer")
        rejected, ignored = ({position - 1 for position in found} for found in row[1:])
        return AppendedRows(row[0], rejected, ignored)

    def went_back(self) -> Damaged:
        """Return the error for a log that lacks what this server has appended or read."""
        return Damaged(
            f"{self._shown} was replaced by an older copy, or has removed this server after a day "
            "without contact: it lacks records that this server has read. This server goes on "
            "answering from memory and stores nothing; restart it to read the log again"
        )

    def heartbeat(self, db: "Connection[Any]", place: int, erasures: int) -> LogHead:
        """Report that this server lives and what it has applied; return the head of the log.

        Raises
        ------
        Damaged
            The log is older than what this server has stored or read.
        """
        acknowledged = self.acknowledged
        row = db.execute(_SEEN, (place, erasures, self.id), prepare=True).fetchone()
        head = head_of(db)
        gone = row is None or row[0] < acknowledged
        if gone or head.end < place or head.erasures < erasures or head.log_id != self.head.log_id:
            raise self.went_back()
        read = db.execute(_UNREAD, (ALIVE_SECONDS,), prepare=True).fetchall()
        self.unread = frozenset(KINDS).difference(
            frozenset(KINDS).intersection(*(kinds for (kinds,) in read))
        )
        return head

    def bury(self, db: "Connection[Any]") -> int:
        """Overwrite records that all live servers have forgotten; return the last such erasure."""
        row = db.execute(
            "SELECT bury(make_interval(secs => %s))", (ALIVE_SECONDS,), prepare=True
        ).fetchone()
        return int(row[0]) if row else 0

    def prune(self, db: "Connection[Any]") -> None:
        """Remove servers that were not seen for a day."""
        db.execute(
            "DELETE FROM servers WHERE seen < clock_timestamp() - %s::interval AND id <> %s",
            (_GONE, self.id),
        )

    def leave(self, db: "Connection[Any]") -> None:
        """Remove this server."""
        db.execute("DELETE FROM servers WHERE id = %s", (self.id,))
