"""Arrays in PostgreSQL's binary format are what the database reads from them."""

import math

import psycopg
import pytest

from nearline.log.postgres.arrays import (
    bytea_array,
    float8_array,
    int8_array,
    register_arrays,
)
from nearline.testing.servers import PostgresServer

pytestmark = pytest.mark.servers


def test_the_database_reads_what_was_encoded(postgres15: PostgresServer) -> None:
    texts = [b"", None, b"\0\xff", b"x" * 70_000]
    integers = [0, -1, None, 2**63 - 1, -(2**63)]
    numbers = [1.5, None, -0.0, 1.7e9, math.inf]
    arrays = (bytea_array(texts), int8_array(integers), float8_array(numbers))
    with psycopg.connect(postgres15.url()) as db:
        register_arrays(db)
        query = "SELECT %s, %s, %s, pg_typeof(%s)::text, pg_typeof(%s)::text, pg_typeof(%s)::text"
        row = db.execute(query, (*arrays, *arrays)).fetchone()
        assert row == (texts, integers, numbers, "bytea[]", "bigint[]", "double precision[]")
        empty = (bytea_array([]), int8_array([]), float8_array([]))
        assert db.execute("SELECT %s, %s, %s", empty).fetchone() == ([], [], [])
        (size,) = db.execute("SELECT cardinality(%s)", (int8_array([7]),)).fetchone() or (0,)
        assert size == 1


def test_the_format() -> None:
    """One dimension with nulls, element type bytea (17), two elements from 1; lengths and bytes."""
    head = "00000001 00000001 00000011 00000002 00000001"
    assert bytea_array([b"ab", None]).data == bytes.fromhex(f"{head} 00000002 6162 ffffffff")
    assert int8_array([]).data == bytes.fromhex("00000000 00000000 00000014")
