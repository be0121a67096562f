"""Logged rows: what was shown, with which probability, and what it led to."""

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from nearline.data.columns import name_columns, to_ids, to_numbers
from nearline.data.sources import Source, read_table
from nearline.errors import InvalidInput

Doubles = NDArray[np.float64]
Longs = NDArray[np.int64]

REQUIRED = ("item_id", "propensity", "reward")
OPTIONAL = ("recommendation_id", "user_id", "position", "policy", "variant", "context")
# Names of the same columns in the Open Bandit Dataset.
OPEN_BANDIT = {"propensity": "propensity_score", "reward": "click"}
MAX_POSITIONS = 1000


class LoggedRows(NamedTuple):
    """One row per shown item.

    Attributes
    ----------
    items : list of str
        Distinct items of the log, sorted.
    item : int64 [n]
        Index of the shown item in `items`.
    propensity : float64 [n]
        Probability with which the logging policy showed the item at this position, in (0, 1].
    reward : float64 [n]
        What the row earned, such as 1 for a click.
    positions : list of int
        Distinct positions, sorted; 1 is the first. A log without positions has only 1.
    position : int64 [n]
        Index of the row's position in `positions`.
    cluster : int64 [n]
        Number of the recommendation (or of the user, if the log has users only) of each row. Rows
        of one cluster are not independent.
    lists : bool
        Whether the log has recommendation IDs, so that rows form lists.
    table : Table
        All columns of the source, for policies that are columns.
    """

    items: list[str]
    item: Longs
    propensity: Doubles
    reward: Doubles
    positions: list[int]
    position: Longs
    cluster: Longs
    lists: bool
    table: pa.Table


def read_log(source: Source, columns: Mapping[str, str] | None = None) -> LoggedRows:
    """Read logged rows from a file or frame.

    Parameters
    ----------
    source : path or frame
        As for `nearline.data.sources.read_table`. Needs the columns `item_id`, `propensity` and
        `reward`; uses `recommendation_id`, `user_id` and `position` if there are any. Files of the
        Open Bandit Dataset are recognised by their columns `propensity_score` and `click`.
    columns : mapping of str to str, optional
        Names of the source's columns, by field.

    Raises
    ------
    InvalidInput
        A column is missing, or a value is missing or out of range.
    """
    table = read_table(source)
    named = {
        field: name
        for field, name in OPEN_BANDIT.items()
        if name in table.column_names and field not in table.column_names
    }
    names = name_columns(
        table.column_names, {**named, **(columns or {})}, required=REQUIRED, optional=OPTIONAL
    )
    if not table.num_rows:
        raise InvalidInput("the log has no rows; at least two are needed")
    items, item = _codes(_ids(table, names, "item_id"))
    propensity = _numbers(table, names, "propensity")
    _check(
        "propensity",
        propensity,
        (propensity > 0) & (propensity <= 1),
        "a probability above 0 and at most 1",
    )
    reward = _numbers(table, names, "reward")
    positions = _positions(table, names)
    places, position = np.unique(positions, return_inverse=True)
    lists = "recommendation_id" in names
    unit = "recommendation_id" if lists else "user_id"
    cluster = np.arange(table.num_rows)
    if unit in names:
        _, cluster = _codes(_ids(table, names, unit))
    return LoggedRows(
        items=items,
        item=item,
        propensity=propensity,
        reward=reward,
        positions=places.tolist(),
        position=position.astype(np.int64),
        cluster=cluster,
        lists=lists,
        table=table,
    )


def read_numbers(table: pa.Table, name: str) -> Doubles:
    """Return a column of finite numbers: float64 [n]; raise `InvalidInput` for any other value."""
    numbers = to_numbers(table[name], name)
    values = np.asarray(
        pc.fill_null(numbers.cast(pa.float64()), float("nan")).to_numpy(), dtype=np.float64
    )
    _check(name, values, np.isfinite(values), "a finite number")
    return values


def _numbers(table: pa.Table, names: Mapping[str, str], field: str) -> Doubles:
    return read_numbers(table, names[field])


def _ids(table: pa.Table, names: Mapping[str, str], field: str) -> Any:
    ids = to_ids(table[names[field]], names[field])
    if ids.null_count:
        raise InvalidInput(
            f"{names[field]} is missing in {ids.null_count} rows; leave these rows out", field=field
        )
    return ids


def _codes(ids: Any) -> tuple[list[str], Longs]:
    values, codes = np.unique(np.asarray(ids.to_pylist(), dtype=object), return_inverse=True)
    return values.tolist(), codes.astype(np.int64)


def _positions(table: pa.Table, names: Mapping[str, str]) -> Longs:
    if "position" not in names:
        return np.ones(table.num_rows, dtype=np.int64)
    values = _numbers(table, names, "position")
    whole = (values == np.floor(values)) & (values >= 0) & (values <= MAX_POSITIONS)
    _check("position", values, whole, f"a whole number from 0 to {MAX_POSITIONS}")
    return values.astype(np.int64)


def _check(name: str, values: Doubles, good: NDArray[np.bool_], allowed: str) -> None:
    if not good.all():
        at = int(np.argmin(good))
        raise InvalidInput(
            f"{name} of row {at} is {values[at]:g}; it must be {allowed}. Correct the log or leave "
            "the row out",
            field=name,
            position=at,
        )
