"""Interactions in their one canonical form: the table that every other part reads."""

from collections.abc import Collection, Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from nearline.data.columns import (
    MISSING_IDS,
    name_columns,
    to_ids,
    to_numbers,
    to_seconds,
    without_missing,
)
from nearline.data.sources import Source, read_table
from nearline.errors import InvalidInput

DEFAULT_EVENT = "view"
REQUIRED = ("user_id", "item_id")
OPTIONAL = ("timestamp", "event", "value", "event_id", "session_id")


def read_user_ids(source: Source, columns: Mapping[str, str] | None = None) -> list[str]:
    """Ids in the column `user_id` of a table, in order; other columns are not looked at.

    Raises
    ------
    InvalidInput
        There is no such column, or an id is missing.
    DataNotFound
        There is no such file.
    """
    named: dict[str, str] = {}

    def pick(found: Sequence[str]) -> Collection[str]:
        named.update(name_columns(found, columns, required=("user_id",), optional=()))
        return named.values()

    ids: list[str] = to_ids(read_table(source, pick=pick)[named["user_id"]], "user_id").to_pylist()
    for row, user_id in enumerate(ids):
        if not user_id:
            raise InvalidInput(f"user_id is missing in row {row}; remove the row", field="user_id")
    return ids


def read_interactions(source: Source, columns: Mapping[str, str] | None = None) -> pa.Table:
    """Read who did what and when.

    Nothing is dropped here: what cannot be (a time that is no time) comes as NaN, what is missing
    as null, and `clean` removes both with a report.

    Parameters
    ----------
    source : path or frame
        As for `read_table`.
    columns : mapping, optional
        Field to column, where a column has another name: ``{"timestamp": "position"}``.

    Returns
    -------
    pyarrow.Table
        Rows in the order of the source, with these columns:

        - ``user_id``, ``item_id`` (string): whole numbers in decimal form, also where pandas made
          them floats;
        - ``timestamp`` (float64): Unix seconds; a datetime without a zone is UTC. Without this
          column the row number takes its place: row order is time order;
        - ``event`` (string): ``view`` where not given;
        - ``value`` (float64): null where not given;
        - ``event_id``, ``session_id`` (string): only where the source has them.

    Raises
    ------
    InvalidInput
        A column is missing, is of an impossible type, or mixes 1 and "1"; nothing in the column
        of times or values can be read.
    DataNotFound
        There is no such file.
    """
    named: dict[str, str] = {}

    def pick(found: Sequence[str]) -> Collection[str]:
        named.update(name_columns(found, columns, required=REQUIRED, optional=OPTIONAL))
        return named.values()

    table = read_table(source, pick=pick)
    rows = table.num_rows
    result: dict[str, Any] = {
        field: without_missing(to_ids(table[named[field]], field), MISSING_IDS)
        for field in REQUIRED
    }
    if "timestamp" in named:
        result["timestamp"] = to_seconds(table[named["timestamp"]], "timestamp")
    else:
        result["timestamp"] = pa.array(np.arange(rows, dtype=np.float64))
    if "event" in named:
        kinds = pc.fill_null(to_ids(table[named["event"]], "event"), "")
        result["event"] = pc.if_else(pc.equal(kinds, ""), DEFAULT_EVENT, kinds)
    else:
        result["event"] = pa.repeat(DEFAULT_EVENT, rows)
    if "value" in named:
        result["value"] = to_numbers(table[named["value"]], "value")
    else:
        result["value"] = pa.nulls(rows, pa.float64())
    for field in ("event_id", "session_id"):
        if field in named:
            ids = to_ids(table[named[field]], field)
            result[field] = pc.if_else(pc.equal(ids, ""), pa.scalar(None, pa.string()), ids)
    return pa.table(result)
