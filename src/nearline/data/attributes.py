"""Attributes of users as tokens: labels, and bins of numbers."""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
from msgspec import Struct
from numpy.typing import NDArray

from nearline.schema import AttributeValue

# A number with more distinct values than this is divided into as many bins of equally many users.
BINS = 8
# Share of values that must be numbers, so that a column is one of numbers.
MOSTLY = 0.9
# Labels of a column, and tokens of all columns. A label of fewer users would be noise.
MOST_LABELS, MOST_TOKENS, FEWEST_USERS = 64, 256, 3

Attributes = Mapping[str, AttributeValue]


class AttributeColumn(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How one attribute becomes tokens.

    Attributes
    ----------
    name : str
    labels : tuple of str
        Labels that have a token.
    edges : tuple of float
        For an attribute of numbers: ascending limits of bins; a value belongs to the bin above the
        limits that it reaches.
    """

    name: str
    labels: tuple[str, ...] = ()
    edges: tuple[float, ...] = ()

    @property
    def tokens(self) -> list[str]:
        """Names of the tokens: ``country=FR``, ``age=25..35``, ``age<18``, ``age>=60``."""
        if not self.edges:
            return [f"{self.name}={label}" for label in self.labels]
        inner = zip(self.edges[:-1], self.edges[1:], strict=True)
        middle = [f"{self.name}={low:g}..{high:g}" for low, high in inner]
        return [f"{self.name}<{self.edges[0]:g}", *middle, f"{self.name}>={self.edges[-1]:g}"]

    def places(self, value: AttributeValue) -> set[int]:
        """Return the positions of the tokens of a value; empty if it has none."""
        entries = _entries(value)
        if self.edges:
            numbers = [entry for entry in entries if _is_number(entry)]
            return {int(np.searchsorted(self.edges, number, side="right")) for number in numbers}
        wanted = {_label(entry) for entry in entries}
        return {place for place, label in enumerate(self.labels) if label in wanted}


def learn_columns(users: Sequence[Attributes]) -> tuple[AttributeColumn, ...]:
    """Return the columns of the attributes of users, in the order of their names."""
    found, size = [], 0
    for name in sorted({name for user in users for name in user}):
        column = _learn(name, [_entries(user[name]) for user in users if name in user])
        if column is not None and size + len(column.tokens) <= MOST_TOKENS:
            size += len(column.tokens)
            found.append(column)
    return tuple(found)


def encode_users(
    columns: Sequence[AttributeColumn], users: Sequence[Attributes]
) -> NDArray[np.float32]:
    """Return which tokens each user has, 0 or 1: float32 [n_users, n_tokens]."""
    features = np.zeros((len(users), sum(len(column.tokens) for column in columns)), np.float32)
    first = 0
    for column in columns:
        for row, user in enumerate(users):
            if column.name in user:
                features[row, [first + place for place in column.places(user[column.name])]] = 1.0
        first += len(column.tokens)
    return features


def table_of_users(users: Sequence[Attributes], numbers: Mapping[str, bool]) -> pa.Table:
    """Return some attributes as columns; `numbers` says by name which are numbers, not labels.

    Values of another type, and lists, are missing.
    """
    columns = {}
    for name, is_number in numbers.items():
        values = [user.get(name) for user in users]
        if is_number:
            columns[name] = pa.array(
                [float(v) if _is_number(v) else None for v in values],  # type: ignore[arg-type]
                pa.float64(),
            )
        else:
            texts = [None if v is None or isinstance(v, list) else _label(v) for v in values]
            columns[name] = pa.array(texts, pa.string())
    return pa.table(columns)


def numbers_among(users: Sequence[Attributes]) -> dict[str, bool]:
    """Return for each attribute whether its values are numbers."""
    values: dict[str, list[Any]] = {}
    for user in users:
        for name, value in user.items():
            values.setdefault(name, []).extend(_entries(value))
    return {name: _mostly_numbers(found) for name, found in sorted(values.items())}


def _learn(name: str, values: list[list[Any]]) -> AttributeColumn | None:
    entries = [entry for some in values for entry in some]
    numbers = np.array([float(entry) for entry in entries if _is_number(entry)])
    if _mostly_numbers(entries) and len(np.unique(numbers)) > BINS:
        edges = np.unique(np.quantile(numbers, np.arange(1, BINS) / BINS))
        return AttributeColumn(name=name, edges=tuple(edges.tolist()))
    users = Counter(label for some in values for label in {_label(entry) for entry in some})
    frequent = [label for label, count in users.items() if count >= FEWEST_USERS]
    labels = sorted(frequent, key=lambda label: (-users[label], label))[:MOST_LABELS]
    return AttributeColumn(name=name, labels=tuple(labels)) if labels else None


def _mostly_numbers(entries: Sequence[Any]) -> bool:
    return sum(map(_is_number, entries)) >= MOSTLY * max(1, len(entries))


def _entries(value: AttributeValue) -> list[Any]:
    return value if isinstance(value, list) else [value]


def _is_number(entry: object) -> bool:
    return isinstance(entry, int | float) and not isinstance(entry, bool)


def _label(entry: object) -> str:
    if isinstance(entry, bool):
        return "true" if entry else "false"
    return f"{entry:g}" if isinstance(entry, int | float) else str(entry).strip()
