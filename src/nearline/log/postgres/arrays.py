"""Arrays in PostgreSQL's binary format, which psycopg encodes many times more slowly.

The format is that of `array_recv`: dimensions, whether there are nulls, and the type of elements;
size and lower bound of each dimension; then the length and the bytes of each element.
"""

import struct
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from psycopg import Connection

# OIDs of element and array; they are the same in every database.
_BYTEA, _INT8, _FLOAT8 = (17, 1001), (20, 1016), (701, 1022)
_NULL = b"\xff\xff\xff\xff"
_EMPTY = struct.Struct(">iii").pack
_HEAD = struct.Struct(">iiiii").pack
_LENGTH = struct.Struct(">i").pack
_INTEGER = struct.Struct(">iq").pack
_NUMBER = struct.Struct(">id").pack


class Bytea(NamedTuple):
    """Encoded array of type ``bytea[]``."""

    data: bytes


class Int8(NamedTuple):
    """Encoded array of type ``int8[]``."""

    data: bytes


class Float8(NamedTuple):
    """Encoded array of type ``float8[]``."""

    data: bytes


def bytea_array(values: Sequence[bytes | None]) -> Bytea:
    """Encode binary values, with None for null."""
    body = [_NULL if one is None else _LENGTH(len(one)) + one for one in values]
    return Bytea(_array(_BYTEA[0], body))


def int8_array(values: Sequence[int | None]) -> Int8:
    """Encode signed 64-bit integers, with None for null."""
    body = [_NULL if one is None else _INTEGER(8, one) for one in values]
    return Int8(_array(_INT8[0], body))


def float8_array(values: Sequence[float | None]) -> Float8:
    """Encode numbers, with None for null."""
    body = [_NULL if one is None else _NUMBER(8, one) for one in values]
    return Float8(_array(_FLOAT8[0], body))


def register_arrays(connection: "Connection[Any]") -> None:
    """Let a connection accept the arrays of this module as arguments of statements."""
    from psycopg.adapt import Dumper
    from psycopg.pq import Format

    class Encoded(Dumper):
        format = Format.BINARY

        def dump(self, obj: Any) -> bytes:
            data: bytes = obj.data
            return data

    for kind, (_, oid) in ((Bytea, _BYTEA), (Int8, _INT8), (Float8, _FLOAT8)):
        dumper = type(f"{kind.__name__}Dumper", (Encoded,), {"oid": oid})
        connection.adapters.register_dumper(kind, dumper)


def _array(oid: int, body: list[bytes]) -> bytes:
    if not body:
        return _EMPTY(0, 0, oid)
    return _HEAD(1, 1, oid, len(body), 1) + b"".join(body)
