"""Columns of frames and files with fields of the catalogue, which a request asks for."""

from collections.abc import Sequence
from typing import Any

import msgspec
import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from nearline.errors import InvalidInput
from nearline.expressions.operands import NUMBERS
from nearline.expressions.tokens import BOOL, INT, LIST
from nearline.recommend.selection import shown
from nearline.state import State

# Columns that every frame of lists has.
OWN = ("user_id", "item_id", "score", "rank")
_TYPES = {
    "title": pa.string(),
    "text": pa.string(),
    "categories": pa.list_(pa.string()),
    "timestamp": pa.float64(),
    "available": pa.bool_(),
    "expires_at": pa.float64(),
}


def column_types(names: Sequence[str], state: State) -> dict[str, pa.DataType]:
    """Return the Arrow type of each field; an attribute of several types becomes text.

    Raises
    ------
    InvalidInput
        A field has the name of a column that every frame has.
    """
    taken = [name for name in names if name in OWN and name != "item_id"]
    if taken:
        raise InvalidInput(
            f"fields has {taken[0]!r}, which is a column of the lists; ask for the others",
            field="fields",
        )
    return {name: _type_of(name, state) for name in names if name != "item_id"}


def field_column(name: str, kind: pa.DataType, items: NDArray[np.int32], state: State) -> pa.Array:
    """Return the values of a field for some items: [n], null for items without it."""
    distinct, places = np.unique(items, return_inverse=True)
    values = [shown(item, [name], state).get(name) for item in distinct.tolist()]
    if kind == pa.string():
        column = pa.array([_text(value) for value in values], kind)
    else:
        try:
            column = pa.array(values, kind)
        except (pa.ArrowInvalid, pa.ArrowTypeError):  # of a type that is new since the first block
            column = pa.array([_fitting(value, kind) for value in values], kind)
    return column.take(pa.array(places))


def _type_of(name: str, state: State) -> pa.DataType:
    if name in _TYPES:
        return _TYPES[name]
    types, entries = state.catalogue.attribute_types(name)
    if types == 1 << LIST:
        return pa.list_(_scalar(entries))
    return _scalar(types)


def _scalar(types: int) -> pa.DataType:
    if types == 1 << INT:
        return pa.int64()
    if types and not types & ~NUMBERS:
        return pa.float64()
    return pa.bool_() if types == 1 << BOOL else pa.string()


def _text(value: Any) -> str | None:
    return value if value is None or isinstance(value, str) else msgspec.json.encode(value).decode()


def _fitting(value: Any, kind: pa.DataType) -> Any:
    try:
        return pa.scalar(value, kind).as_py()
    except (pa.ArrowInvalid, pa.ArrowTypeError):
        return None
