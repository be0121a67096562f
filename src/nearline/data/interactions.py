"""Reading of interactions into a table of canonical form, which all other modules expect."""

from collections.abc import Collection, Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from nearline.data.columns import (
    MISSING,
    MISSING_IDS,
    name_columns,
    read_times,
    to_ids,
    to_numbers,
    without_missing,
)
from nearline.data.json_files import explode
from nearline.data.notes import SourceNotes, notes_of, with_notes
from nearline.data.options import ReadOptions, read_options
from nearline.data.ratings import LOW_RATING, is_rating, low_ratings
from nearline.data.sources import REQUIRED, Source, read_source, read_table
from nearline.errors import InvalidInput

NOT_USED = "not used"
OPTIONAL = ("timestamp", "event", "value", "event_id", "session_id")


def read_user_ids(source: Source, columns: Mapping[str, str] | None = None) -> list[str]:
    """Return the IDs in the column `user_id` of a table, in order; other columns are ignored.

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


def read_interactions(
    source: Source, columns: Mapping[str, str] | None = None, **options: Any
) -> pa.Table:
    """Read interactions into a table of canonical form.

    No row is dropped: an invalid time or value becomes NaN, and a missing one null. `clean` removes
    and reports both.

    Parameters
    ----------
    source : path or frame
        Source for `read_table`. A result of this function is returned unchanged.
    columns : mapping, optional
        Column names by field, for columns with other names: ``{"timestamp": "position"}``.
    **options
        Fields of `nearline.data.options.ReadOptions`.

    Returns
    -------
    pyarrow.Table
        Rows in the order of the source, with these columns:

        - ``user_id``, ``item_id`` (string): whole numbers in decimal form, even if pandas stored
          them as floats. If items are lists, there is one row for each entry;
        - ``timestamp`` (float64): Unix seconds; a datetime without a time zone is UTC. Without
          this column, it is the row number, which identifies the row but gives it no order;
        - ``event`` (string): if missing, the option `event`, ``view`` by default. Without this
          column, ``low_rating`` if the name of the column of values means ratings and the value is
          below the middle of their scale;
        - ``value`` (float64): null if missing;
        - ``event_id``, ``session_id`` (string): only if the source has them.

    Raises
    ------
    InvalidInput
        A column is missing, has a type that cannot be converted, or mixes 1 and "1"; no time or no
        value can be read; or the format of times cannot be determined.
    DataNotFound
        There is no such file.
    """
    if isinstance(source, pa.Table) and notes_of(source).canonical and not columns:
        return source
    named: dict[str, str] = {}

    def pick(found: Sequence[str]) -> Collection[str]:
        named.update(name_columns(found, columns, required=REQUIRED, optional=OPTIONAL))
        unused.extend(name for name in found if name not in named.values())
        return list(dict.fromkeys(named.values()))

    def may_mix() -> set[str | None]:
        """Return the columns that may mix numbers and text, since they are not IDs."""
        return {named.get("value"), named.get("timestamp")}

    unused: list[str] = []
    chosen = read_options(**options)
    table = read_source(source, chosen, pick, lambda name: name in may_mix())
    notes = notes_of(table)
    table = _one_row_each(table, named["item_id"], notes)
    notes.columns |= {name: field for field, name in named.items()}
    notes.canonical, notes.rows = True, table.num_rows
    notes.columns |= dict.fromkeys(unused, NOT_USED)
    result = _fields({field: table[name] for field, name in named.items()}, notes, chosen)
    if "value" in named and "event" not in named and is_rating(named["value"]):
        _mark_low_ratings(result, notes, chosen.event)
    return with_notes(pa.table(result), notes)


def _mark_low_ratings(result: dict[str, Any], notes: SourceNotes, event: str) -> None:
    """Set the kind of event to `low_rating` for ratings below the middle of their scale."""
    rated = low_ratings(result["value"])
    if rated is not None and rated.remark:
        result["event"] = pc.if_else(rated.low, LOW_RATING, event)
        notes.key_event = event
        notes.remarks.append(rated.remark)


def _one_row_each(table: pa.Table, item: str, notes: SourceNotes) -> pa.Table:
    """Convert lists of items to one row per entry, along with other lists of equal lengths."""
    if not pa.types.is_list(table[item].type):
        return table
    sizes = pc.list_value_length(table[item])
    lists = [
        name
        for name in table.column_names
        if pa.types.is_list(table[name].type) and pc.list_value_length(table[name]).equals(sizes)
    ]
    notes.lines = None
    notes.remarks.append(f"each entry of {', '.join(lists)} becomes a separate row")
    return explode(table, lists)


def _of_events(times: Any, users: Any, items: Any) -> Any:
    """Replace the times of rows without IDs, such as sums, by nulls: they are no times."""
    named = pc.and_(pc.not_equal(users, ""), pc.not_equal(items, ""))
    named = pc.fill_null(named, False)
    if pc.all(named).as_py() or not pc.any(named).as_py():
        return times
    return pc.if_else(named, times, pa.scalar(None, times.type))


def _fields(given: Mapping[str, Any], notes: SourceNotes, options: ReadOptions) -> dict[str, Any]:
    """Convert each field to its type, and keep the text of cells that cannot be read."""
    rows = notes.rows
    missing_ids, missing = (*MISSING_IDS, *options.missing), (*MISSING, *options.missing)
    result: dict[str, Any] = {}
    for field in ("user_id", "item_id", "event", "event_id", "session_id"):
        if field in given:
            result[field] = to_ids(given[field], field)
            if pa.types.is_string(given[field].type):
                # An empty ID does not become null, since the report names it as empty.
                spellings = missing_ids[field in REQUIRED :]
                result[field] = without_missing(result[field], spellings)
    result["event"] = (
        pc.fill_null(result["event"], options.event)
        if "event" in given
        else pa.repeat(options.event, rows)
    )
    if "timestamp" in given:
        result["timestamp"], notes.times = read_times(
            _of_events(given["timestamp"], result["user_id"], result["item_id"]),
            "timestamp",
            time_format=options.time_format,
            day_first=options.day_first,
            missing=missing,
        )
    else:
        notes.undated = True
        result["timestamp"] = pa.array(np.arange(rows, dtype=np.float64))
    if "value" in given:
        result["value"] = to_numbers(given["value"], "value", missing, optional=True)
    else:
        result["value"] = pa.nulls(rows, pa.float64())
    for field in ("user_id", "item_id", "timestamp", "value"):
        if field in given:
            notes.keep_raw(field, given[field], result[field])
    order = ("user_id", "item_id", "timestamp", "event", "value", "event_id", "session_id")
    return {field: result[field] for field in order if field in result}
