"""Logs in PostgreSQL from the rows of another log."""

import os
from collections.abc import Iterable

from nearline.common.signing import SECRET_BYTES
from nearline.errors import InvalidInput
from nearline.log.base import ForgottenRows
from nearline.log.codec import Coded
from nearline.log.postgres.connections import Connections
from nearline.log.postgres.forgotten import load
from nearline.log.postgres.session import head_of, prepare
from nearline.log.postgres.target import PostgresTarget

_COPY = "COPY log (place, payload, user_key, event_key) FROM STDIN"


def load_postgres(
    target: PostgresTarget, rows: Iterable[Coded], erasures: int, forgotten: ForgottenRows
) -> int:
    """Write rows to an empty log in PostgreSQL, in one transaction; return their number.

    Raises
    ------
    InvalidInput
        The log contains records, or a server has it open.
    """
    connections = Connections(target)
    try:
        prepare(connections, os.urandom(SECRET_BYTES))
        db = connections.connect()
        with connections.explained(), db, db.transaction():
            db.execute("SET LOCAL statement_timeout = 0")
            db.execute("SELECT FROM head FOR UPDATE")
            if head_of(db).end:
                raise InvalidInput(
                    f"the log at {target.shown} is not empty; name another schema or database",
                    field="store",
                )
            count = 0
            with db.cursor().copy(_COPY) as copy:
                for place, row in enumerate(rows):
                    copy.write_row((place, row.payload, row.user_key, row.event_key))
                    count = place + 1
            db.execute("UPDATE head SET next_place = %s, erasures = %s", (count, erasures))
            db.execute(
                "INSERT INTO erasures SELECT number, true FROM generate_series(1, %s) number",
                (erasures,),
            )
            load(db, forgotten)
        return count
    finally:
        connections.close()
