"""Target policies: with which probability another policy would have shown each item.

| written as | probability of an item at a position |
|---|---|
| `uniform` | the same for all items of the log |
| `column:NAME` | in the column NAME of the log, for the shown item |
| a table with `item_id`, `probability` and perhaps `position` | in that table |
| a log of the policy, with `propensity` | share of the item among the log's rows at that position |
"""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from nearline.data.columns import name_columns, to_ids
from nearline.data.sources import Source, read_table
from nearline.errors import InvalidInput
from nearline.evaluation.off_policy.logged import LoggedRows, read_log, read_numbers

Doubles = NDArray[np.float64]
COLUMN = "column:"
UNIFORM = "uniform"
# Rounding error allowed in the sum of a table's probabilities.
_TOLERANCE = 0.01


class TargetPolicy(NamedTuple):
    """Probabilities of a policy on the rows of a log.

    Attributes
    ----------
    name : str
        How the policy was written.
    shown : float64 [n]
        Probability of the row's item at its position.
    table : float64 [m, items] or None
        Distributions over the items of the log; None if only `shown` is known. A distribution sums
        to less than 1 if the policy shows items that the log doesn't have.
    row : int64 [n] or None
        Which of these distributions each row has.
    """

    name: str
    shown: Doubles
    table: Doubles | None = None
    row: NDArray[np.int64] | None = None


def read_policy(policy: Source, log: LoggedRows) -> TargetPolicy:
    """Return the probabilities of a policy that is written in one of the forms above.

    Raises
    ------
    InvalidInput
        The policy has none of these forms, or a probability is out of range.
    """
    if isinstance(policy, TargetPolicy):
        return policy
    if isinstance(policy, str):
        if policy == UNIFORM:
            return uniform(log)
        if policy.startswith(COLUMN):
            return policy_of_column(policy.removeprefix(COLUMN), log)
    named = policy if isinstance(policy, str | os.PathLike) else "table"
    if isinstance(policy, str) and not Path(policy).suffix:
        raise InvalidInput(
            f"policy is {policy!r}; write uniform, column:NAME, or the path of a table with "
            "item_id and probability, or of a log of the policy",
            field="policy",
        )
    table = read_table(policy)
    if "probability" in table.column_names:
        return _of_table(str(named), table, log)
    return policy_of_log(read_log(table), log, str(named))


def uniform(log: LoggedRows) -> TargetPolicy:
    """Return the policy that shows each item of the log with the same probability."""
    n = len(log.items)
    return TargetPolicy(
        UNIFORM,
        np.full(len(log.item), 1.0 / n),
        np.full((1, n), 1.0 / n),
        np.zeros(len(log.item), dtype=np.int64),
    )


def policy_of_column(name: str, log: LoggedRows) -> TargetPolicy:
    """Return the policy whose probability of the shown item is in a column of the log."""
    if name not in log.table.column_names:
        raise InvalidInput(
            f"the log has no column {name!r}; it has {', '.join(log.table.column_names[:20])}",
            field="policy",
        )
    shown = read_numbers(log.table, name)
    if not ((shown >= 0) & (shown <= 1)).all():
        raise InvalidInput(f"{name} must contain probabilities from 0 to 1", field="policy")
    return TargetPolicy(COLUMN + name, shown)


def policy_of_log(other: LoggedRows, log: LoggedRows, name: str = "log") -> TargetPolicy:
    """Return the shares of the items in a log of the policy, at each position.

    For a policy that depends on the user or on time, this is its average: a policy of its own,
    with the same share of each item. A position that the other log doesn't have gets no item.
    """
    counts = np.zeros((len(log.positions), len(log.items)))
    places = _places(log.items, other.items)[other.item]
    positions = _places(log.positions, other.positions)[other.position]
    totals = np.bincount(positions[positions >= 0], minlength=len(log.positions))
    known = (places >= 0) & (positions >= 0)
    np.add.at(counts, (positions[known], places[known]), 1.0)
    return _by_position(name, counts / np.maximum(totals, 1)[:, None], log)


def _of_table(name: str, table: pa.Table, log: LoggedRows) -> TargetPolicy:
    names = name_columns(
        table.column_names,
        None,
        required=("item_id", "probability"),
        optional=("position",),
    )
    probability = read_numbers(table, "probability")
    if not ((probability >= 0) & (probability <= 1)).all():
        raise InvalidInput("probability must be from 0 to 1 in each row of the policy's table")
    ids = to_ids(table["item_id"], "item_id").to_pylist()
    at = {item: index for index, item in enumerate(log.items)}
    places = np.array([at.get(item, -1) for item in ids])
    found = np.zeros((len(log.positions), len(log.items)))
    totals = np.zeros(len(log.positions))
    if "position" in names:
        numbers = read_numbers(table, "position").astype(np.int64)
        positions = np.array([_find(log.positions, number) for number in numbers.tolist()])
        rows = positions >= 0
        np.add.at(totals, positions[rows], probability[rows])
        rows &= places >= 0
        np.add.at(found, (positions[rows], places[rows]), probability[rows])
    else:
        totals += probability.sum()
        known = places >= 0
        found += np.bincount(places[known], weights=probability[known], minlength=len(log.items))
    if not (np.abs(totals - 1.0) <= _TOLERANCE).all():
        raise InvalidInput(
            "the probabilities of the policy's table sum to "
            f"{', '.join(f'{total:.3g}' for total in totals)} at the positions "
            f"{', '.join(map(str, log.positions))}; they must sum to 1 at each",
            field="policy",
        )
    return _by_position(name, found, log)


def _by_position(name: str, table: Doubles, log: LoggedRows) -> TargetPolicy:
    return TargetPolicy(name, table[log.position, log.item], table, log.position)


def _find(values: list[int], value: int) -> int:
    return values.index(value) if value in values else -1


def _places(known: Sequence[object], given: Sequence[object]) -> NDArray[np.int64]:
    """Return the index of each given value among the known ones, or -1."""
    at = {value: index for index, value in enumerate(known)}
    return np.array([at.get(value, -1) for value in given], dtype=np.int64)
