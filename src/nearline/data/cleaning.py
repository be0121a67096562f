"""Removal of invalid rows: bad IDs, impossible times and values, duplicates, bots."""

from typing import Any, Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from msgspec import Struct
from numpy.typing import NDArray

from nearline.data.clock import FIRST_CLOCK_TIME
from nearline.data.notes import notes_of
from nearline.data.options import DEFAULT_EVENT
from nearline.data.report import CleaningReport, Sieve
from nearline.errors import InvalidInput
from nearline.schema import DAY, MAX_ID_BYTES

# 1e11 seconds lie in the year 5138; 1e11 milliseconds in 1973.
FIRST_MILLISECONDS = 1e11
MAX_VALUE = 1e15
# An odd number with bits in all positions: multiplying by it changes all higher bits.
_MIXER = np.uint64(0x9E3779B97F4A7C15)
_COLUMNS = ("user_id", "item_id", "timestamp", "event", "value")
_TOO_LONG = f"has more than {MAX_ID_BYTES} bytes"
_HAS_NUL = "contains a NUL character"
# Time formats in which all events of a year or month have the date of its first day.
_COARSE = ("years", "months as yyyymm")


class CleaningConfig(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Settings of `clean`.

    Attributes
    ----------
    max_events_per_user_per_day : int
        A user with more events than this on any UTC day is considered a bot, and all of its
        events are dropped. Times before March 1973 (positions, row numbers) belong to no day.
    impute_value : "mean", "median" or None
        Fill a missing value with the mean or median of the values of events of the same kind;
        a kind without any value is not filled. None fills nothing.
    """

    max_events_per_user_per_day: int = 5_000
    impute_value: Literal["mean", "median"] | None = None


_DEFAULT = CleaningConfig()


def clean(
    table: pa.Table, *, now: float, config: CleaningConfig = _DEFAULT
) -> tuple[pa.Table, CleaningReport]:
    """Drop invalid rows, leave out invalid values, and report both with reasons.

    Parameters
    ----------
    table : pyarrow.Table
        Result of `read_interactions`.
    now : float
        Unix seconds; times more than a day later are impossible.

    Raises
    ------
    InvalidInput
        No row is left (the message contains the report), or a required column is missing.

    Notes
    -----
    Rows are duplicates if user, item, time, kind, value and `event_id` (if there is one) are
    equal; the first is kept. In a source without times, every row has a different row number, so no
    row is a duplicate. A million rows take about half a second.
    """
    missing = [name for name in _COLUMNS if name not in table.column_names]
    if missing:
        raise InvalidInput(
            f"the table lacks {', '.join(missing)}; pass the result of read_interactions to clean"
        )
    notes = notes_of(table).for_rows(table.num_rows)
    shown = [name for name in table.column_names if name != "event_id"]
    sieve = Sieve(table, shown, notes.place, notes.raw)
    _drop_bad_ids(sieve)
    _drop_bad_times(sieve, now)
    _leave_out_bad_fields(sieve)
    sieve.drop(_duplicates(sieve.table), "duplicate of an earlier row")
    limit = config.max_events_per_user_per_day
    if notes.times not in _COARSE:
        bots = _bots(sieve.table, limit)
        sieve.drop(bots, f"user has more than {limit:,} events on one day (a bot)")
    kept, imputed = sieve.table, 0
    if config.impute_value is not None:
        kept, imputed = _impute(kept, config.impute_value)
    report = sieve.report(imputed=imputed, lines=notes.dropped)
    if kept.num_rows == 0:
        raise InvalidInput(f"no usable interaction is left: {report}")
    return kept, report


def _drop_bad_ids(sieve: Sieve) -> None:
    for field in ("user_id", "item_id"):
        sieve.drop(pc.is_null(sieve.table[field]), f"{field} is missing")
        sieve.drop(pc.equal(sieve.table[field], ""), f"{field} is empty")
    for field in ("user_id", "item_id"):
        sieve.drop(_too_long(sieve, field), f"{field} {_TOO_LONG}")
        sieve.drop(_has_nul(sieve, field), f"{field} {_HAS_NUL}")


def _leave_out_bad_fields(sieve: Sieve) -> None:
    """Leave out invalid values of optional fields, and keep their rows."""
    for field in ("event", "event_id", "session_id"):
        if field in sieve.table.column_names:
            instead = DEFAULT_EVENT if field == "event" else None
            too_long, has_nul = _too_long(sieve, field), _has_nul(sieve, field)
            sieve.leave_out(field, too_long, f"{field} {_TOO_LONG}", instead)
            sieve.leave_out(field, has_nul, f"{field} {_HAS_NUL}", instead)
    value = sieve.table["value"]
    # A missing value is valid: the comparison gives null, which leaves nothing out.
    sieve.leave_out("value", pc.invert(pc.is_finite(value)), "value is not a finite number")
    large = pc.greater(pc.abs(sieve.table["value"]), MAX_VALUE)
    sieve.leave_out("value", large, f"value is larger than {MAX_VALUE:.0e}")


def _too_long(sieve: Sieve, field: str) -> Any:
    return pc.greater(pc.binary_length(sieve.table[field]), MAX_ID_BYTES)


def _has_nul(sieve: Sieve, field: str) -> Any:
    return pc.match_substring(sieve.table[field], "\0")


def _drop_bad_times(sieve: Sieve, now: float) -> None:
    sieve.drop(pc.is_null(sieve.table["timestamp"]), "timestamp is missing")
    finite = pc.is_finite(sieve.table["timestamp"])
    sieve.drop(pc.invert(finite), "timestamp is not a valid time")
    sieve.drop(pc.less(sieve.table["timestamp"], 0.0), "timestamp is before 1970")
    sieve.drop(
        pc.greater(sieve.table["timestamp"], max(FIRST_MILLISECONDS, now + DAY)),
        "timestamp looks like milliseconds; divide it by 1000 to get Unix seconds",
    )
    sieve.drop(
        pc.greater(sieve.table["timestamp"], now + DAY), "timestamp is more than a day ahead of now"
    )


def _duplicates(table: pa.Table) -> Any:
    keys = list(_COLUMNS)
    if "event_id" in table.column_names:
        keys.append("event_id")
    duplicate = np.zeros(table.num_rows, dtype=np.bool_)
    # Only rows with equal hashes are compared, since a hash that occurs once is no duplicate.
    hashes = _row_hashes(table.select(keys))
    ordered = np.sort(hashes)
    shared = ordered[1:][ordered[1:] == ordered[:-1]]
    suspects = np.flatnonzero(np.isin(hashes, shared)) if len(shared) else shared
    if len(suspects):
        numbered = table.select(keys).take(suspects).append_column("row", pa.array(suspects))
        first = numbered.group_by(keys).aggregate([("row", "min")])["row_min"].to_numpy()
        duplicate[suspects] = True
        duplicate[first] = False
    return duplicate


def _row_hashes(table: pa.Table) -> NDArray[np.uint64]:
    """Return a 64-bit hash of each row; equal rows have equal hashes."""
    hashes = np.zeros(table.num_rows, dtype=np.uint64)
    for column in table.columns:
        if pa.types.is_floating(column.type):
            bits = pc.fill_null(column, 0.0).to_numpy().view(np.uint64)
        else:
            codes = column.combine_chunks().dictionary_encode().indices
            bits = pc.fill_null(codes, -1).to_numpy().astype(np.int64).view(np.uint64)
        hashes = (hashes ^ bits) * _MIXER  # overflow wraps around
        hashes ^= hashes >> np.uint64(29)
    return hashes


def _bots(table: pa.Table, limit: int) -> Any:
    users = table["user_id"].combine_chunks().dictionary_encode().indices.to_numpy()
    busy = (np.bincount(users) > limit)[users] if len(users) else np.zeros(0, dtype=np.bool_)
    if not busy.any():
        return busy
    return pc.is_in(table["user_id"], value_set=_bots_among(table.filter(pa.array(busy)), limit))


def _bots_among(table: pa.Table, limit: int) -> Any:
    day = pc.cast(pc.floor(pc.divide(table["timestamp"], DAY)), pa.int64())
    timed = pc.greater_equal(table["timestamp"], FIRST_CLOCK_TIME)
    days = pa.table({"user_id": table["user_id"], "day": day}).filter(timed)
    counts = days.group_by(["user_id", "day"]).aggregate([([], "count_all")])
    return pc.unique(counts.filter(pc.greater(counts["count_all"], limit))["user_id"])


def _impute(table: pa.Table, rule: str) -> tuple[pa.Table, int]:
    values = table["value"].to_numpy().copy()
    missing = table["value"].is_null().to_numpy()
    kinds = table["event"].combine_chunks().dictionary_encode()
    codes = kinds.indices.to_numpy()
    average = np.mean if rule == "mean" else np.median
    for kind in range(len(kinds.dictionary)):
        given = values[(codes == kind) & ~missing]
        if len(given):
            values[(codes == kind) & missing] = average(given)
    still = np.isnan(values)
    column = table.schema.get_field_index("value")
    filled = table.set_column(column, "value", pa.array(values, mask=still))
    return filled, int(missing.sum() - still.sum())
