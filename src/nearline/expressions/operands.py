"""Values of a subexpression for many items, and the operators on them.

A value is NaN where it is missing: a comparison with NaN is false, and arithmetic with NaN gives
NaN, which is how missing values are to behave. Booleans are 0 and 1, and strings are codes.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from nearline.expressions.entry_index import EntryIndex
from nearline.expressions.tokens import BOOL, DOUBLE, INT, MAX_WHOLE, MISSING, STRING

Floats = NDArray[np.float64]
Mask = NDArray[np.bool_] | np.bool_ | bool
Kinds = NDArray[np.uint8]

# Sets of types, as bits.
NUMBERS = 1 << INT | 1 << DOUBLE
CLASSES = (NUMBERS, 1 << STRING, 1 << BOOL)
SCALARS = NUMBERS | 1 << STRING | 1 << BOOL


class ListOperand(NamedTuple):
    """Lists of some items.

    Attributes
    ----------
    n : int
        Number of items.
    owners : int32 [m]
        Position of the item (from 0 to n - 1) that each entry belongs to.
    entries : Operand
        The entries: arrays [m]; NaN for those that do not count any more.
    sizes : float64 [n]
        Number of entries of each list; NaN if there is no list.
    entry_index : EntryIndex or None
        Index of the entries; None if they are only some of all.
    """

    n: int
    owners: NDArray[np.int32]
    entries: "Operand"
    sizes: Floats
    entry_index: EntryIndex | None = None


class Operand(NamedTuple):
    """Values of some items, or one value for all of them.

    Attributes
    ----------
    values : float64 [n] or float
        Numbers, booleans as 0 and 1, codes of strings; NaN where the value is missing.
    types : int
        Types that occur, as bits, apart from MISSING.
    kinds : uint8 [n] or None
        Type of each value; None if at most one type occurs.
    lists : ListOperand or None
        The values that are lists, which are missing in the arrays above.
    """

    values: Any
    types: int
    kinds: Kinds | None = None
    lists: "ListOperand | None" = None


class Literal(NamedTuple):
    """A list in an expression, with one operand for each of its elements."""

    elements: tuple[Operand, ...]


def truth(value: "Operand | Mask") -> Mask:
    """Return which values are true; missing ones and those of other types are not."""
    if not isinstance(value, Operand):
        return value
    if not value.types & 1 << BOOL:
        return np.zeros(np.shape(value.values), dtype=np.bool_)
    found: Mask = only(value, 1 << BOOL) == 1.0
    return found


def operand(value: "Operand | Mask") -> Operand:
    """Return truth values as an operand; other operands are returned as they are."""
    if isinstance(value, Operand):
        return value
    return Operand(np.asarray(value, dtype=np.float64), 1 << BOOL)


def only(value: Operand, types: int) -> Any:
    """Return values, with NaN for those of other types."""
    if not value.types & ~types:
        return value.values
    if value.kinds is None:
        return np.full(np.shape(value.values), np.nan)
    return np.where(_of_types(value.kinds, types), value.values, np.nan)


def compare(
    op: str, left: Operand, right: Operand, ranks: Callable[[Operand, Operand], tuple[Any, Any]]
) -> Mask:
    """Compare values of the same type; the result is false for others and for missing values.

    Parameters
    ----------
    ranks : callable
        Returns numbers in the order of the strings of two operands.
    """
    found: Mask = False
    for types in CLASSES:
        if not (left.types & types and right.types & types):
            continue
        one, other = only(left, types), only(right, types)
        if types == 1 << STRING and op not in ("==", "!="):
            one, other = ranks(Operand(one, types), Operand(other, types))
        result = _COMPARISONS[op](one, other)
        if op == "!=":
            result = result & _present(one) & _present(other)
        found = result if found is False else found | result
    if op == "!=":  # values of different types are not equal
        found = found | _differ(left, right)
    return found


def comparable(types: int, others: int) -> bool:
    """Return whether values of some types may equal values of others."""
    return any(types & some and others & some for some in CLASSES)


def within(value: Operand, found: "Operand | Literal") -> Mask:
    """Return whether each value is an entry of a list: bool [n] or one bool."""
    if isinstance(found, Literal):
        return _in_literal(value, found.elements)
    lists = found.lists
    if lists is None:
        return False
    hits = np.zeros(lists.n, dtype=np.bool_)
    per_entry, entries = value, lists.entries
    if np.ndim(value.values):
        kinds = None if value.kinds is None else value.kinds[lists.owners]
        per_entry = Operand(value.values[lists.owners], value.types, kinds)
    elif lists.entry_index is not None and entries.kinds is None:
        if comparable(value.types, entries.types):
            at = lists.entry_index.positions(entries.values, float(value.values))
            hits[lists.owners[at]] = True
        return hits
    same = compare("==", entries, per_entry, _no_ranks)
    if np.ndim(same):
        hits[lists.owners[np.flatnonzero(same)]] = True
    return hits


def arithmetic(op: str, left: Operand, right: Operand) -> Operand:
    """Calculate with numbers; a division by zero gives a missing value."""
    one, other = only(left, NUMBERS), only(right, NUMBERS)
    whole = _both_whole(left, right)
    with np.errstate(all="ignore"):
        if op == "+":
            values = np.add(one, other)
        elif op == "-":
            values = np.subtract(one, other)
        elif op == "*":
            values = np.multiply(one, other)
        else:
            divisor = np.where(np.equal(other, 0.0), np.nan, other)
            if op == "%":
                # The remainder of a larger quotient says nothing, and takes long to compute.
                exact = np.abs(one) < MAX_WHOLE * np.abs(divisor)
                values = np.fmod(np.where(exact, one, np.nan), divisor)
            else:
                values = np.divide(one, divisor)
                if whole is not False:  # a quotient of whole numbers is cut off, as in CEL
                    values = np.where(whole, np.trunc(values), values)
    return _numbers(values, whole)


def negative(value: Operand) -> Operand:
    """Return the numbers with the opposite sign."""
    return _numbers(-only(value, NUMBERS), _whole(value))


def choice(condition: Mask, value: "Operand | Mask", other: "Operand | Mask") -> "Operand | Mask":
    """Return `value` where the condition is true, and `other` elsewhere."""
    if not isinstance(value, Operand) and not isinstance(other, Operand):
        return np.where(condition, value, other)
    one, two = operand(value), operand(other)
    types = one.types | two.types
    values = np.where(condition, one.values, two.values)
    if types & (types - 1) == 0:
        return Operand(values, types)
    return Operand(
        values, types, np.where(condition, kinds_of(one), kinds_of(two)).astype(np.uint8)
    )


def kinds_of(value: Operand) -> Any:
    """Return the type of each value; MISSING for missing ones."""
    if value.kinds is not None:
        return value.kinds
    if not value.types:
        return np.full(np.shape(value.values), MISSING, dtype=np.uint8)
    kind = value.types.bit_length() - 1
    return np.where(np.isnan(value.values), MISSING, kind).astype(np.uint8)


def _in_literal(value: Operand, elements: tuple[Operand, ...]) -> Mask:
    if len(elements) <= 4 or any(np.ndim(element.values) for element in elements):
        found: Mask = False
        for element in elements:
            same = compare("==", value, element, _no_ranks)
            found = same if found is False else found | same
        return found
    found = np.zeros(np.shape(value.values), dtype=np.bool_)
    for types in CLASSES:
        wanted = [element.values for element in elements if element.types & types]
        if wanted and value.types & types:
            found = found | np.isin(only(value, types), np.array(wanted, dtype=np.float64))
    return found


def _numbers(values: Any, whole: Mask) -> Operand:
    if whole is True:
        return Operand(values, 1 << INT)
    if whole is False:
        return Operand(values, 1 << DOUBLE)
    kinds = np.where(whole, INT, DOUBLE).astype(np.uint8)
    return Operand(values, NUMBERS, np.broadcast_to(kinds, np.shape(values)))


def _whole(value: Operand) -> Mask:
    """Return which values are whole numbers by type."""
    if not value.types & 1 << INT:
        return False
    if not value.types & 1 << DOUBLE:
        return True
    whole: Mask = kinds_of(value) == INT
    return whole


def _both_whole(left: Operand, right: Operand) -> Mask:
    one, other = _whole(left), _whole(right)
    if one is False or other is False:
        return False
    if one is True:
        return other
    return one if other is True else one & other


def _differ(left: Operand, right: Operand) -> Mask:
    """Return where both values are present and of different classes."""
    total = left.types | right.types
    if any(not total & ~types for types in CLASSES):
        return False
    one, other = _CLASS_OF[kinds_of(left)], _CLASS_OF[kinds_of(right)]
    result: Mask = (one != other) & (one > 0) & (other > 0)
    return result


def _present(values: Any) -> Mask:
    return True if not np.ndim(values) and values == values else values == values


def _of_types(kinds: Kinds, types: int) -> NDArray[np.bool_]:
    if types == NUMBERS:
        found: NDArray[np.bool_] = np.subtract(kinds, INT, dtype=np.uint8) <= DOUBLE - INT
    else:
        found = kinds == types.bit_length() - 1  # of one type
    return found


def _no_ranks(left: Operand, right: Operand) -> tuple[Any, Any]:
    """Return the values, as equality does not need an order."""
    return left.values, right.values


_COMPARISONS: dict[str, Any] = {
    "==": np.equal,
    "!=": np.not_equal,
    "<": np.less,
    "<=": np.less_equal,
    ">": np.greater,
    ">=": np.greater_equal,
}
# Classes of types that can be equal.
_CLASS_OF = np.array([0, 1, 1, 2, 3, 0], dtype=np.uint8)
