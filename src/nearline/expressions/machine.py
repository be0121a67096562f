"""Evaluation of a program for many items: a stack of operands."""

import re
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple, cast

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from nearline.expressions import operands as ops
from nearline.expressions.columns import ItemColumns, Rows
from nearline.expressions.operands import Floats, Literal, Mask, Operand
from nearline.expressions.parser import CONTEXT, USER, Instruction, Program, constant_of
from nearline.expressions.strings import seconds_of
from nearline.expressions.tokens import BOOL, DOUBLE, INT, LIST, STRING

DAY = 86_400.0
_NUMBER = re.compile(r"-?[0-9]{1,15}(?:\.[0-9]{1,15})?")
Found = Operand | Literal | Mask


class Bindings(NamedTuple):
    """What an expression knows beside the catalogue: attributes of user and request, and the time.

    Attributes
    ----------
    user, context : mapping
        Names to strings, numbers, booleans or, for users, lists of these.
    now : float
        Time of the request, in Unix seconds.
    """

    user: Mapping[str, Any] = {}
    context: Mapping[str, Any] = {}
    now: float = 0.0


class Machine:
    """Evaluates programs for the first `n` items, or for some of them.

    Parameters
    ----------
    columns : ItemColumns
    bindings : Bindings
    n : int
        Number of items.
    rows : int64 [m] or None
        Items to evaluate for; None for all.
    kept : callable
        Returns the result of a program that depends only on the catalogue: bool [n].
    """

    def __init__(
        self,
        columns: ItemColumns,
        bindings: Bindings,
        n: int,
        rows: Rows | None,
        kept: Callable[[Program], NDArray[np.bool_]],
    ) -> None:
        self._columns = columns
        self._strings = columns.strings
        self._bindings = bindings
        self._n = n
        self._rows = rows
        self._kept = kept
        # Strings that no item has get the codes -1, -2, ...
        self._others: dict[str, int] = {}

    def run(self, program: Program, types: int = 1 << BOOL) -> Operand | Mask:
        """Evaluate a program, whose result has one of some types. O(instructions x items)."""
        stack: list[Found] = []
        for step in program.code:
            start = len(stack) - step.takes
            given = stack[start:]
            del stack[start:]
            stack.append(_STEPS[step.op](self, step, given))
        result = _scalar(stack[0])
        return self._fitting(result, types) if isinstance(result, Operand) else result

    def constant(self, step: Instruction, _: Sequence[Found]) -> Found:
        """Return a literal."""
        return self._of(step.value)

    def name(self, step: Instruction, _: Sequence[Found]) -> Found:
        """Return the values of a name."""
        scope, name = step.value
        if scope not in (USER, CONTEXT):
            return self._columns.operand(scope, name, self._n, self._rows)
        value = (self._bindings.user if scope == USER else self._bindings.context).get(name)
        if value is None:
            return Operand(np.nan, 0)
        if isinstance(value, list | tuple):
            return self._of((LIST, tuple(constant_of(entry) for entry in value)))
        return self._of(constant_of(value))

    def has(self, step: Instruction, given: Sequence[Found]) -> Found:
        """Return where a name has a value."""
        found = self.name(step, given)
        if not isinstance(found, Operand):
            return True
        present: Mask = ~np.isnan(found.values)
        return present if found.lists is None else present | ~np.isnan(found.lists.sizes)

    def now(self, _step: Instruction, _: Sequence[Found]) -> Found:
        """Return the time of the request."""
        return Operand(self._bindings.now, 1 << DOUBLE)

    def elements(self, _: Instruction, given: Sequence[Found]) -> Found:
        """Return the elements of a list."""
        return Literal(tuple(ops.operand(_scalar(one)) for one in given))

    def kept(self, step: Instruction, _: Sequence[Found]) -> Found:
        """Return the result of a part of the program that was evaluated before."""
        mask = self._kept(step.value)[: self._n]
        return mask if self._rows is None else mask[self._rows]

    def conjunction(self, _: Instruction, given: Sequence[Found]) -> Found:
        """Return where both are true."""
        return self._truth(given[0]) & self._truth(given[1])

    def disjunction(self, _: Instruction, given: Sequence[Found]) -> Found:
        """Return where one is true."""
        return self._truth(given[0]) | self._truth(given[1])

    def negation(self, _: Instruction, given: Sequence[Found]) -> Found:
        """Return where a value is not true."""
        return np.logical_not(self._truth(given[0]))

    def comparison(self, step: Instruction, given: Sequence[Found]) -> Found:
        """Return where a comparison holds."""
        one, other = (ops.operand(_scalar(value)) for value in given)
        left, right = self._fitting(one, other.types), self._fitting(other, one.types)
        return ops.compare(step.op, left, right, self._ranks)

    def within(self, _: Instruction, given: Sequence[Found]) -> Found:
        """Return where a value is in a list."""
        found = given[1]
        if not isinstance(found, Operand | Literal):
            return False
        if isinstance(found, Operand):
            types = 0 if found.lists is None else found.lists.entries.types
        else:
            types = 0
            for one in found.elements:
                types |= one.types
        return ops.within(self._fitting(ops.operand(_scalar(given[0])), types), found)

    def arithmetic(self, step: Instruction, given: Sequence[Found]) -> Found:
        """Return the result of an operation on numbers."""
        left, right = (self._number(one) for one in given)
        return ops.arithmetic(step.op, left, right)

    def negative(self, _: Instruction, given: Sequence[Found]) -> Found:
        """Return numbers with the opposite sign."""
        return ops.negative(self._number(given[0]))

    def choice(self, _: Instruction, given: Sequence[Found]) -> Found:
        """Return one of two values, as a condition says."""
        condition, value, other = map(_scalar, given)
        return ops.choice(self._truth(condition), value, other)

    def size(self, _: Instruction, given: Sequence[Found]) -> Found:
        """Return the number of characters of strings, and of entries of lists."""
        found = given[0]
        if isinstance(found, Literal):
            return Operand(float(len(found.elements)), 1 << INT)
        value = ops.operand(_scalar(found))
        codes = ops.only(value, 1 << STRING)
        if np.ndim(codes) and not (codes < 0).any():
            sizes = self._for_each_of_column(codes, pc.utf8_length, np.nan)
        else:
            sizes = self._for_each(value, lambda texts: list(map(len, texts)), np.nan)
        if value.lists is not None:
            sizes = np.where(np.isnan(value.lists.sizes), sizes, value.lists.sizes)
        return Operand(sizes, 1 << INT)

    def days_since(self, _: Instruction, given: Sequence[Found]) -> Found:
        """Return the days between times, in Unix seconds or as text, and the request."""
        value = ops.operand(_scalar(given[0]))
        seconds = ops.only(value, ops.NUMBERS)
        if value.types & 1 << STRING:
            texts = self._times(ops.only(value, 1 << STRING))
            seconds = np.where(np.isnan(texts), seconds, texts)
        return Operand((self._bindings.now - seconds) / DAY, 1 << DOUBLE)

    def _times(self, codes: Any) -> Any:
        """Return the Unix seconds of strings; NaN where they are no times."""
        if not np.ndim(codes):
            return np.nan if np.isnan(codes) else seconds_of(self._text_of(int(codes)))
        seconds = np.full(len(codes), np.nan)
        known = np.flatnonzero(codes >= 0)
        seconds[known] = self._strings.seconds(codes[known].astype(np.int64))
        for at in np.flatnonzero(codes < 0).tolist():
            seconds[at] = seconds_of(self._text_of(int(codes[at])))
        return seconds

    def search(self, step: Instruction, given: Sequence[Found]) -> Found:
        """Return where one string begins with, ends with or contains another."""
        where, what = (ops.operand(_scalar(one)) for one in given)
        if np.ndim(what.values):
            text, test = self._text(where), _SEARCHES[step.op]
            found = None if text is None else self._for_each(what, partial(test, text), 0.0)
        else:
            part = self._text(what)
            found = None if part is None else self._search_column(where, part, step.op)
        return False if found is None else found == 1.0

    def _search_column(self, where: Operand, part: str, op: str) -> Floats:
        """Return 1 where strings begin with, end with or contain `part`."""
        codes = ops.only(where, 1 << STRING)
        if not np.ndim(codes) or (codes < 0).any():
            return self._for_each(where, lambda texts: _searched(op, part, texts), 0.0)
        return self._for_each_of_column(codes, partial(_COLUMN_SEARCHES[op], part), 0.0)

    def _order_against(self, value: Operand, text: str) -> Floats:
        """Return 1 for strings after `text`, -1 for those before it, and 0 for equal ones."""
        codes = ops.only(value, 1 << STRING)
        if (codes < 0).any():
            return self._for_each(value, lambda ws: [(w > text) - (w < text) for w in ws], np.nan)

        def order(strings: Any) -> Any:
            after, before = pc.greater(strings, text), pc.less(strings, text)
            return pc.subtract(after.cast(pa.int8()), before.cast(pa.int8()))

        return self._for_each_of_column(codes, order, np.nan)

    def _truth(self, value: Found) -> Mask:
        found = _scalar(value)
        return ops.truth(self._fitting(found, 1 << BOOL)) if isinstance(found, Operand) else found

    def _number(self, value: Found) -> Operand:
        return self._fitting(ops.operand(_scalar(value)), ops.NUMBERS)

    def _fitting(self, value: Operand, types: int) -> Operand:
        """Return one string as a number or a boolean, if it is written as one and must be one.

        Query strings and command lines have only strings for the values of a context.
        """
        if value.types != 1 << STRING or not types or types & 1 << STRING or np.ndim(value.values):
            return value
        text = self._text(value)
        if text in ("true", "false") and types & 1 << BOOL:
            return Operand(float(text == "true"), 1 << BOOL)
        if text is not None and types & ops.NUMBERS and _NUMBER.fullmatch(text):
            return Operand(float(text), 1 << (INT if text.lstrip("-").isdigit() else DOUBLE))
        return value

    def _of(self, constant: tuple[int, Any]) -> Found:
        kind, value = constant
        if kind == LIST:
            return Literal(tuple(cast("Operand", self._of(entry)) for entry in value))
        if kind != STRING:
            return Operand(value, 1 << kind)
        code = self._strings.code(value)
        if code is None:
            code = self._others.setdefault(value, -1 - len(self._others))
        return Operand(float(code), 1 << STRING)

    def _text(self, value: Operand) -> str | None:
        """Return the string of an operand that is one string; None if it is missing."""
        code = ops.only(value, 1 << STRING)
        return None if np.isnan(code) else self._text_of(int(code))

    def _text_of(self, code: int) -> str:
        return self._strings.text(code) if code >= 0 else list(self._others)[-1 - code]

    def _for_each(
        self, value: Operand, function: Callable[[list[str]], Sequence[float]], other: float
    ) -> Floats:
        """Return a number for each string, which is computed once for each distinct string."""
        codes = ops.only(value, 1 << STRING)
        there = ~np.isnan(codes)
        if not np.ndim(codes):
            one = function([self._text_of(int(codes))])[0] if there else other
            return np.asarray(one, np.float64)
        known = codes[there].astype(np.int64)
        distinct, table = self._table()
        distinct[known] = True
        used = np.flatnonzero(distinct)
        table[used] = np.array(function(self._texts_of(used)), dtype=np.float64)
        numbers = np.full(len(codes), other)
        numbers[there] = table[known]
        return numbers

    def _for_each_of_column(
        self, codes: Floats, function: Callable[[Any], Any], other: float
    ) -> Floats:
        """Return a number for each string, from a function of an Arrow array of strings.

        The function is called with the distinct strings of a column, which may be few of all.
        """
        there = ~np.isnan(codes)
        known = codes[there].astype(np.int64)
        column = self._strings.column
        used = np.zeros(len(column), dtype=np.bool_)
        used[known] = True
        places = np.flatnonzero(used)
        table = np.empty(len(column))
        table[places] = function(column.take(pa.array(places))).to_numpy(zero_copy_only=False)
        numbers = np.full(len(codes), other)
        numbers[there] = table[known]
        return numbers

    def _ranks(self, left: Operand, right: Operand) -> tuple[Any, Any]:
        """Return numbers in the order of the strings of two operands."""
        for one, other in ((left, right), (right, left)):
            text = None if np.ndim(other.values) else self._text(other)
            if text is not None and np.ndim(one.values):
                # Against one string, no order of all strings is needed.
                ranks = self._order_against(one, text)
                return (ranks, 0.0) if one is left else (0.0, ranks)
        distinct, table = self._table()
        for one in (left, right):
            codes = np.atleast_1d(one.values)
            distinct[codes[~np.isnan(codes)].astype(np.int64)] = True
        used = np.flatnonzero(distinct)
        texts = self._texts_of(used)
        order = sorted(range(len(texts)), key=texts.__getitem__)
        table[used[order]] = np.arange(len(used))
        return _looked_up(table, left.values), _looked_up(table, right.values)

    def _table(self) -> tuple[NDArray[np.bool_], Floats]:
        """Return arrays with an entry for each string; negative codes count from the end."""
        size = len(self._strings) + len(self._others)
        return np.zeros(size, dtype=np.bool_), np.full(max(size, 1), np.nan)

    def _texts_of(self, places: NDArray[np.int64]) -> list[str]:
        """Return the strings at some ascending places of the arrays of `_table`."""
        known = int(np.searchsorted(places, len(self._strings)))
        others = list(self._others)[::-1]  # the last place stands for the code -1
        more = [others[at - len(self._strings)] for at in places[known:].tolist()]
        return self._strings.texts(places[:known]) + more


def _searched(op: str, part: str, texts: list[str]) -> Sequence[float]:
    return [_SEARCHES[op](text, [part])[0] for text in texts]


def _scalar(value: Found) -> Operand | Mask:
    return Operand(np.nan, 0) if isinstance(value, Literal) else value


def _looked_up(table: Floats, codes: Any) -> Any:
    return np.where(np.isnan(codes), np.nan, table[np.nan_to_num(codes).astype(np.int64)])


Search = Callable[[str, list[str]], Sequence[float]]
# One string in many, and many in one.
_COLUMN_SEARCHES: dict[str, Callable[[str, Any], Any]] = {
    "startsWith": lambda part, texts: pc.starts_with(texts, part),
    "endsWith": lambda part, texts: pc.ends_with(texts, part),
    "contains": lambda part, texts: pc.match_substring(texts, part),
}
_SEARCHES: dict[str, Search] = {
    "startsWith": lambda text, parts: [text.startswith(part) for part in parts],
    "endsWith": lambda text, parts: [text.endswith(part) for part in parts],
    "contains": lambda text, parts: [part in text for part in parts],
}
_STEPS: dict[str, Callable[[Machine, Instruction, Sequence[Found]], Found]] = {
    "constant": Machine.constant,
    "name": Machine.name,
    "has": Machine.has,
    "now": Machine.now,
    "list": Machine.elements,
    "kept": Machine.kept,
    "&&": Machine.conjunction,
    "||": Machine.disjunction,
    "!": Machine.negation,
    **dict.fromkeys(("==", "!=", "<", "<=", ">", ">="), Machine.comparison),
    "in": Machine.within,
    **dict.fromkeys("+-*/%", Machine.arithmetic),
    "negative": Machine.negative,
    "?:": Machine.choice,
    "size": Machine.size,
    "days_since": Machine.days_since,
    **dict.fromkeys(_SEARCHES, Machine.search),
}
