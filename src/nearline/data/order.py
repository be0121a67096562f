"""Recognition of the order of interactions: times, positions, or none.

Interactions have an order if their times distinguish them. Without a column of times, or if all
times of a user are equal, they are a set: the order of the rows of a table never counts. The rows
of such a table are therefore sorted by a digest of their content, so that any permutation of them
gives the same events, and thus the same model.
"""

from typing import Literal

import numpy as np
import pyarrow as pa
from msgspec.structs import replace
from numpy.typing import NDArray

from nearline.data.clock import FIRST_CLOCK_TIME, without_row_numbers
from nearline.data.events import content_keys
from nearline.data.notes import notes_of, with_notes

Order = Literal["times", "positions", "none"]
TIMES: Order = "times"
POSITIONS: Order = "positions"
NONE: Order = "none"

# Minimum share of the users with several interactions whose interactions must have different times.
FEWEST_ORDERED = 0.2


def order_of(users: NDArray[np.integer], times: NDArray[np.float64]) -> Order:
    """Determine the order of n interactions.

    Users with one interaction are ignored. If, for fewer than `FEWEST_ORDERED` of the others, any
    two times differ, there is no order. Otherwise times are positions if most are below 1e8. If no
    user has several interactions, only equal times below 1e8 are no order.

    Parameters
    ----------
    users : int [n]
        User of each interaction.
    times : float64 [n]
        Time of each interaction.
    """
    if len(users) == 0:
        return TIMES
    times = without_row_numbers(times)
    sizes = np.bincount(users)
    first = np.zeros(len(sizes), dtype=np.float64)
    first[users[::-1]] = times[::-1]
    differing = np.bincount(users, times != first[users], minlength=len(sizes)) > 0
    several = sizes > 1
    if several.any():
        ordered = float(differing[several].mean()) >= FEWEST_ORDERED
    else:
        ordered = bool((times != times[0]).any()) or len(times) == 1 or times[0] >= FIRST_CLOCK_TIME
    if not ordered:
        return NONE
    return TIMES if np.median(times) >= FIRST_CLOCK_TIME else POSITIONS


def order_of_rows(table: pa.Table) -> Order:
    """Determine the order of a table in canonical form; without a column of times, it has none."""
    notes = notes_of(table)
    if notes.undated:
        return NONE
    if notes.order:
        return notes.order
    codes = table["user_id"].combine_chunks().dictionary_encode().indices
    return order_of(codes.to_numpy(), table["timestamp"].to_numpy())


def in_own_order(table: pa.Table) -> pa.Table:
    """Return a table whose rows are sorted by their content if they have no order.

    Rows without times get the time 0. A table with an order is returned unchanged, as is a result
    of this function or a part of it.

    Parameters
    ----------
    table : pyarrow.Table
        Interactions in canonical form, without missing IDs or times.
    """
    notes = notes_of(table)
    if notes.order:
        return table
    order = order_of_rows(table)
    if order == NONE:
        table = by_content(table)
        if notes.undated:
            column = table.schema.get_field_index("timestamp")
            table = table.set_column(column, "timestamp", pa.array(np.zeros(table.num_rows)))
    return with_notes(table, replace(notes, order=order))


def without_row_order(table: pa.Table) -> pa.Table:
    """Return the result of `in_own_order` for a source without times; other tables unchanged."""
    return in_own_order(table) if notes_of(table).undated else table


def by_content(table: pa.Table) -> pa.Table:
    """Sort rows by a digest of their content, and equal rows by their `event_id`."""
    keyed = table.append_column("content", content_keys(table))
    keys = [("content", "ascending")]
    if "event_id" in table.column_names:
        keys.append(("event_id", "ascending"))
    return keyed.sort_by(keys).drop_columns("content")
