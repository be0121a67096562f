"""The log in PostgreSQL passes the contract of logs, on the oldest and newest version."""

from itertools import count

import pytest

from nearline.testing.log_contract import LogContract
from nearline.testing.servers import PostgresServer

pytestmark = pytest.mark.servers
SCHEMAS = count()


class TestPostgres15(LogContract):
    @pytest.fixture
    def url(self, postgres15: PostgresServer) -> str:
        return postgres15.url(schema=f"log{next(SCHEMAS)}")


class TestPostgres18(LogContract):
    @pytest.fixture
    def url(self, postgres18: PostgresServer) -> str:
        return postgres18.url(schema=f"log{next(SCHEMAS)}")
