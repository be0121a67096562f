"""Tables without times: rows are known by their content, and later files are later."""

import numpy as np
import pyarrow as pa

from nearline.data import event_ids
from nearline.data.clock import FIRST_CLOCK_TIME
from nearline.log import Log
from nearline.schema import DAY

# Keys that the log is asked about at once.
_BLOCK = 100_000
# Between the times of two rows, where these follow clock times: doubles tell them apart.
_LEAST_STEP = 1e-6


def new_rows(log: Log, table: pa.Table) -> pa.Table:
    """Leave out the rows that the log has, and give the others the key they are known by.

    A row is known by its content and by the number of equal rows before it. Rows that an earlier
    version stored are known by their number.
    """
    log.append([]).result()  # whatever was queued before is stored now
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
    """Give the rows times that rise from row to row and are later than `latest`.

    They are numbers that go on from those of earlier tables without times; behind clock times
    they are seconds, or shorter where these would lead into the future.
    """
    rows = table.num_rows
    first, step = 0.0, 1.0
    if latest is not None:
        first = latest
        if latest >= FIRST_CLOCK_TIME:
            left = min(now + DAY, max(now, latest + DAY / 2)) - latest
            step = min(1.0, max(left / (rows + 1), _LEAST_STEP))
        first += step
    times = first + step * np.arange(rows)
    column = table.schema.get_field_index("timestamp")
    return table.set_column(column, "timestamp", pa.array(times))
