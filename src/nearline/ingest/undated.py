"""Tables without times: known rows are recognised by content, and new rows are the latest.

All new rows get the same time, since the order of the rows of a table never counts. In a store
without real times, a tiny fraction keeps the order of the table for people who read a history.
"""

import numpy as np
import pyarrow as pa

from nearline.data import event_ids
from nearline.data.clock import FIRST_CLOCK_TIME, UNDATED_SPAN
from nearline.log import Log
from nearline.schema import DAY

# Number of keys that are looked up in the log at once.
_BLOCK = 100_000
# Minimum seconds between the times of two rows, which a float64 in Unix seconds can represent.
_LEAST_STEP = 1e-6


def new_rows(log: Log, table: pa.Table) -> pa.Table:
    """Return the rows that are not in the log, with their keys in the column `event_id`.

    The key of a row is computed from its content and the number of equal rows before it. In stores
    of versions before 0.2, keys contain the row number instead, so both keys are looked up.
    """
    log.append([]).result()  # waits until all queued records are stored
    keys = event_ids(table).to_pylist()
    numbered = event_ids(table, row_numbers=True).to_pylist()
    stored = np.zeros(len(keys), dtype=np.bool_)
    for start in range(0, len(keys), _BLOCK):
        stop = start + _BLOCK
        known = zip(log.known(keys[start:stop]), log.known(numbered[start:stop]), strict=True)
        stored[start:stop] = [new or old for new, old in known]
    if "event_id" in table.column_names:
        table = table.drop_columns("event_id")
    table = table.append_column("event_id", pa.array(keys, pa.string()))
    return table.filter(pa.array(~stored))


def with_times(table: pa.Table, latest: float | None, now: float) -> pa.Table:
    """Set one time for all rows that is later than `latest`.

    It is a second later, or less if it would otherwise be in the future. If there are only tables
    without times, it is the number of earlier tables, plus a fraction below `UNDATED_SPAN`.

    Parameters
    ----------
    table : pyarrow.Table
        Rows with their numbers in the column ``timestamp``.
    latest : float or None
        Time of the latest event in the state, in Unix seconds; None if there is none.
    now : float
        Current time in Unix seconds.
    """
    column = table.schema.get_field_index("timestamp")
    if latest is not None and latest >= FIRST_CLOCK_TIME:
        left = min(now + DAY, max(now, latest + DAY / 2)) - latest
        times = np.full(table.num_rows, latest + min(1.0, max(left / 2, _LEAST_STEP)))
    else:
        numbers = table["timestamp"].to_numpy()
        share = (numbers + 1.0) / (numbers.max(initial=0.0) + 2.0)
        first = 0.0 if latest is None else np.floor(latest) + 1.0
        times = first + UNDATED_SPAN * share
    return table.set_column(column, "timestamp", pa.array(times))
