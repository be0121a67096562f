"""PostgreSQL finds what an append looks up by an index, also before the tables have statistics."""

import psycopg
import pytest

from nearline.log import open_log
from nearline.schema import Event
from nearline.testing.servers import PostgresServer

pytestmark = pytest.mark.servers
_SCANNED = """
SELECT seq_tup_read FROM pg_stat_user_tables WHERE schemaname = 'plans' AND relname = 'log'
"""


@pytest.mark.parametrize("server", ["postgres15", "postgres18"])
def test_an_append_reads_no_whole_table(server: str, request: pytest.FixtureRequest) -> None:
    postgres: PostgresServer = request.getfixturevalue(server)
    log = open_log(postgres.url(schema="plans"))
    try:
        for first in range(0, 200, 10):
            ids = map(str, range(first, first + 10))
            events = [Event(user_id="u", item_id="i", timestamp=1.0, event_id=one) for one in ids]
            assert log.append(events).result().accepted == 10
        assert log.append(events).result().duplicates == 10
        assert len(log.records_of("u")) == 200
        assert log.erase("u").result() == 200
    finally:
        log.close()  # its connections report what they have read
    with psycopg.connect(postgres.url(), autocommit=True) as db:
        assert db.execute(_SCANNED).fetchone() == (0,)
