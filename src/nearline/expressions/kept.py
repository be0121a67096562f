"""Results of expressions for the whole catalogue, kept and brought up to date item by item."""

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nearline.errors import InvalidInput
from nearline.expressions.checking import MAX_FACTOR, check, check_factor
from nearline.expressions.columns import ItemColumns, Rows
from nearline.expressions.machine import Bindings, Machine
from nearline.expressions.operands import NUMBERS, only, operand, truth
from nearline.expressions.parser import PROGRAMS_KEPT, Program, parse
from nearline.expressions.tokens import BOOL

# Numbers of kept masks (1 byte an item) and factors (8 bytes an item).
MASKS_KEPT = 64
FACTORS_KEPT = 8

Array = NDArray[Any]
NOTHING = Bindings()


class KeptResult:
    """The result of a program for all items, and the version of the columns it belongs to."""

    def __init__(self, version: int, array: Array) -> None:
        self.version = version
        self.array = array


class Expressions:
    """Filters and boosts of a catalogue; any thread may call the methods.

    A result that depends only on the catalogue is kept. When it is asked for again, only the items
    that changed in between are evaluated, so a change of an item costs the writer nothing, and the
    next reader a time that does not depend on the size of the catalogue.

    Parameters
    ----------
    columns : ItemColumns
    """

    def __init__(self, columns: ItemColumns) -> None:
        self._columns = columns
        self._lock = columns.lock
        # The shape of the columns for which an expression was checked, by text and kind.
        self._checked: dict[tuple[str, bool], int] = {}
        self._masks: dict[tuple[Any, ...], KeptResult] = {}
        self._factors: dict[tuple[Any, ...], KeptResult] = {}

    def check(self, text: str, field: str = "filter", *, factor: bool = False) -> Program:
        """Check an expression against the catalogue, and return it parsed.

        Parameters
        ----------
        text : str
            The expression.
        field : str
            Name of the field for the error message.
        factor : bool
            Whether it is a boost, which must give a number; a filter must give true or false.

        Raises
        ------
        InvalidInput
            The expression is not part of the language, names an unknown attribute, or has a type
            that does not fit.
        """
        try:
            program = parse(text)
            if self._checked.get((text, factor)) != self._columns.shape:
                check(program, self._columns, factor=factor)
                # Only now, because the check may have built columns.
                shape = self._columns.shape
                with self._lock:
                    _make_room(self._checked, PROGRAMS_KEPT)
                    self._checked[text, factor] = shape
        except InvalidInput as error:
            raise InvalidInput(f"{field}, {error.message}", field=field) from None
        return program

    def mask(
        self, text: str, bindings: Bindings = NOTHING, field: str = "filter"
    ) -> NDArray[np.bool_]:
        """Return for which items a filter is true: bool [n_items], read-only.

        Raises
        ------
        InvalidInput
            See `check`.

        Notes
        -----
        O(1) for a filter that was used before, and O(operators x items) otherwise; parts that use
        `now`, `user` or `context` are evaluated each time.
        """
        program = self.check(text, field)
        if program.static:
            return _read_only(self._kept_mask(program))
        return self._computed(program, bindings, _masked).array

    def holds(self, text: str, item: int, bindings: Bindings, field: str = "filter") -> bool:
        """Return whether a filter is true for one item; errors are those of `check`."""
        program = self.check(text, field)
        with self._lock:
            size = self._columns.size
            if item >= size:
                return False
            return bool(self._run(program, bindings, _masked, size, np.array([item]))[0])

    def factors(
        self, text: str, bindings: Bindings = NOTHING, field: str = "boost"
    ) -> NDArray[np.float64]:
        """Return the factor of each item by a boost: float64 [n_items], read-only.

        The factor of an item is 1 if the result is missing for it, and otherwise limited to the
        range from 0 to `MAX_FACTOR`. Errors and time are those of `mask`.

        Raises
        ------
        InvalidInput
            See `check`; also if the result is the same for all items and not in this range.
        """
        program = self.check(text, field, factor=True)
        try:
            if program.static:
                return _read_only(self._keep(self._factors, FACTORS_KEPT, program, _static_factors))
            return self._computed(program, bindings, _factors).array
        except InvalidInput as error:
            raise InvalidInput(f"{field}, {error.message}", field=field) from None

    def _kept_mask(self, program: Program) -> NDArray[np.bool_]:
        return self._keep(self._masks, MASKS_KEPT, program, _masked)

    def _keep(
        self,
        table: dict[tuple[Any, ...], KeptResult],
        most: int,
        program: Program,
        convert: Callable[[Any], Array],
    ) -> Array:
        """Return the result of a program that depends only on the catalogue."""
        with self._lock:
            kept = table.get(program.key)
            if kept is not None:
                table[program.key] = table.pop(program.key)  # used most recently
                if kept.version == self._columns.version and len(kept.array) == self._columns.size:
                    return kept.array
                if self._update(kept, program, NOTHING, convert):
                    return kept.array
        kept = self._computed(program, NOTHING, convert)
        with self._lock:
            _make_room(table, most)
            table[program.key] = kept
        return kept.array

    def _computed(
        self, program: Program, bindings: Bindings, convert: Callable[[Any], Array]
    ) -> KeptResult:
        """Evaluate a program for all items, mostly without the lock."""
        with self._lock:
            version, n = self._columns.version, self._columns.size
        kept = KeptResult(version, self._run(program, bindings, convert, n, None))
        with self._lock:
            # What changed meanwhile may have been read in the middle of the change.
            if not self._update(kept, program, bindings, convert):
                n = self._columns.size
                array = self._run(program, bindings, convert, n, None)
                kept = KeptResult(self._columns.version, array)
        return kept

    def _update(
        self,
        kept: KeptResult,
        program: Program,
        bindings: Bindings,
        convert: Callable[[Any], Array],
    ) -> bool:
        """Evaluate a program for new and changed items; return False if these are too many."""
        columns, before = self._columns, len(kept.array)
        rows = columns.changed_since(kept.version)
        if rows is None:
            return False
        if columns.size > before:
            rows = np.union1d(rows, np.arange(before, columns.size))
            longer = np.zeros(columns.size, dtype=kept.array.dtype)
            longer[:before] = kept.array
            kept.array = longer
        if len(rows):
            kept.array[rows] = self._run(program, bindings, convert, columns.size, rows)
        kept.version = columns.version
        return True

    def _run(
        self,
        program: Program,
        bindings: Bindings,
        convert: Callable[[Any], Array],
        n: int,
        rows: Rows | None,
    ) -> Array:
        machine = Machine(self._columns, bindings, n, rows, self._kept_mask)
        types = 1 << BOOL if convert is _masked else NUMBERS
        found = convert(machine.run(program, types))
        size = n if rows is None else len(rows)
        return found if found.ndim else np.full(size, found)


def _masked(found: Any) -> Array:
    return np.asarray(truth(found))


def _factors(found: Any) -> Array:
    """Return factors: 1 for missing results, and results within the allowed range."""
    values = np.asarray(only(operand(found), NUMBERS))
    if not values.ndim and values == values:
        check_factor(float(values))
    return np.clip(np.where(np.isnan(values), 1.0, values), 0.0, MAX_FACTOR)


def _static_factors(found: Any) -> Array:
    """Return factors as `_factors` does; a constant that is missing is no factor, such as 1 / 0."""
    values = only(operand(found), NUMBERS)
    if not np.ndim(values):
        check_factor(float(values))
    return _factors(found)


def _read_only(array: Array) -> Array:
    view = array.view()
    view.flags.writeable = False
    return view


def _make_room(table: dict[Any, Any], most: int) -> None:
    """Remove the entries that were used least recently, so that one more has room."""
    while len(table) >= most:
        table.pop(next(iter(table)))
