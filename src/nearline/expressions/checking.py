"""Checks of an expression: unknown names, types that do not fit, constants that are no factors."""

from collections.abc import Callable
from difflib import get_close_matches
from typing import NamedTuple, Protocol

from nearline.expressions.operands import NUMBERS, SCALARS, comparable
from nearline.expressions.parser import CONTEXT, USER, Instruction, Program
from nearline.expressions.tokens import BOOL, LIST, STRING, fault

# Largest factor of a boost.
MAX_FACTOR = 1e6
# Names that are compared with an unknown one.
MAX_COMPARED = 2_000

_WORDS = {"number": NUMBERS, "string": 1 << STRING, "true or false": 1 << BOOL, "list": 1 << LIST}
_ANY = SCALARS | 1 << LIST


class Names(Protocol):
    """The names that an expression may use; `ItemColumns` is one."""

    def names(self) -> list[str]:
        """Return all names, the more important ones first."""
        ...

    def types(self, scope: str, name: str) -> tuple[int, int] | None:
        """Return the types of the values of a name, and those of the entries of its lists."""
        ...


class _Sort(NamedTuple):
    """What is known about a subexpression.

    `types` and `entries` are the possible types of its values and of the entries of its lists,
    `varies` says whether it depends on the item, `numbers` has the constants that it can be, and
    `label` is a name for messages.
    """

    types: int
    entries: int = 0
    varies: bool = False
    numbers: tuple[float, ...] = ()
    label: str = "this"


def check(program: Program, names: Names, *, factor: bool) -> None:
    """Check the names and types of a program.

    Parameters
    ----------
    factor : bool
        Whether the result must be a factor: a number from 0 to `MAX_FACTOR`. Otherwise it must be
        true or false.

    Raises
    ------
    InvalidInput
        A name is unknown, or a type does not fit; the message names the character.
    """
    result = _sort_of(program, names)
    if not factor:
        _need(result, 1 << BOOL, program.code[-1].at, "a filter is")
        return
    if not result.types & NUMBERS and result.types & 1 << BOOL:
        raise fault(
            0, "a boost is a number, and this is true or false; write CONDITION ? 2.0 : 1.0"
        )
    _need(result, NUMBERS, program.code[-1].at, "a boost is")
    for number in result.numbers:
        check_factor(number)


def check_factor(number: float) -> None:
    """Raise `InvalidInput` unless a constant factor is from 0 to `MAX_FACTOR`."""
    if not 0.0 <= number <= MAX_FACTOR:  # also refuses NaN
        raise fault(0, f"a boost of {number:.6g} is not allowed; it must be 0 to {MAX_FACTOR:,.0f}")


def _sort_of(program: Program, names: Names) -> _Sort:
    stack: list[_Sort] = []
    for step in program.code:
        start = len(stack) - step.takes
        operands = stack[start:]
        del stack[start:]
        stack.append(_RULES[step.op](step, operands, names))
    return stack[0]


def _constant(step: Instruction, _: list[_Sort], __: Names) -> _Sort:
    kind, value = step.value
    if kind == LIST:
        entries = 0
        for entry, _value in value:
            entries |= 1 << entry
        return _Sort(1 << LIST, entries)
    return _Sort(1 << kind, numbers=(value,) if 1 << kind & NUMBERS else ())


def _name(step: Instruction, _: list[_Sort], names: Names) -> _Sort:
    scope, name = step.value
    if scope in (USER, CONTEXT):
        return _Sort(_ANY, SCALARS, label=f"{scope}.{name}")
    found = names.types(scope, name)
    if found is None:
        raise fault(step.at, unknown(name, names.names()))
    return _Sort(*found, varies=True, label=name)


def unknown(name: str, known: list[str], advice: str = "; has(NAME) may name any") -> str:
    """Describe an unknown name, with the nearest known ones."""
    near = get_close_matches(name[:100], known[:MAX_COMPARED], n=3, cutoff=0.5)
    if near:
        shown = "the nearest are " + ", ".join(map(repr, near))
    else:
        more = ", ..." if len(known) > 10 else ""
        shown = "there are " + ", ".join(known[:10]) + more
    return f"no item has an attribute {name[:60]!r}; {shown}{advice}"


def _kept(step: Instruction, _: list[_Sort], names: Names) -> _Sort:
    return _sort_of(step.value, names)._replace(varies=True)


def _has(_step: Instruction, _: list[_Sort], __: Names) -> _Sort:
    return _Sort(1 << BOOL, varies=True)


def _now(_step: Instruction, _: list[_Sort], __: Names) -> _Sort:
    return _Sort(NUMBERS)


def _list(step: Instruction, operands: list[_Sort], _: Names) -> _Sort:
    entries = 0
    for one in operands:
        _need(one, SCALARS, step.at, "an element of a list is")
        entries |= one.types
    return _Sort(1 << LIST, entries, any(one.varies for one in operands))


def _logic(step: Instruction, operands: list[_Sort], _: Names) -> _Sort:
    for one in operands:
        _need(one, 1 << BOOL, step.at, f"{step.op} takes")
    return _Sort(1 << BOOL, varies=_varies(operands))


_ORDERS = ("<", "<=", ">", ">=")


def _comparison(step: Instruction, operands: list[_Sort], _: Names) -> _Sort:
    left, right = operands
    if _differ(left.types, right.types):
        hint = "; use in for lists" if 1 << LIST in (left.types, right.types) else ""
        raise fault(
            step.at,
            f"{step.op} compares values of one type; {left.label} is {_words(left.types)} and "
            f"{right.label} is {_words(right.types)}{hint}",
        )
    strings = left.types & right.types & 1 << STRING
    if step.op in _ORDERS and strings and left.varies and right.varies:
        raise fault(step.at, f"only one of the strings of {step.op} may depend on the item")
    return _Sort(1 << BOOL, varies=_varies(operands))


def _differ(left: int, right: int) -> bool:
    """Return whether no value of one side can equal one of the other."""
    # A name without values has no type, and fits everywhere.
    known = left != 0 and right != 0
    return known and not comparable(left, right)


def _within(step: Instruction, operands: list[_Sort], _: Names) -> _Sort:
    value, found = operands
    _need(value, SCALARS, step.at, "the value before in is")
    _need(found, 1 << LIST, step.at, "in takes")
    if _differ(value.types, found.entries):
        raise fault(
            step.at,
            f"{value.label} is {_words(value.types)}, and {found.label} is a list of entries of "
            f"another type: {_words(found.entries)}",
        )
    return _Sort(1 << BOOL, varies=_varies(operands))


def _arithmetic(step: Instruction, operands: list[_Sort], _: Names) -> _Sort:
    for one in operands:
        _need(one, NUMBERS, step.at, f"{step.op} takes")
    return _Sort(NUMBERS, varies=_varies(operands))


def _negative(step: Instruction, operands: list[_Sort], _: Names) -> _Sort:
    _need(operands[0], NUMBERS, step.at, "- takes")
    return _Sort(NUMBERS, 0, operands[0].varies, tuple(-one for one in operands[0].numbers))


def _choice(step: Instruction, operands: list[_Sort], _: Names) -> _Sort:
    condition, value, other = operands
    _need(condition, 1 << BOOL, step.at, "the condition of ? is")
    for one in (value, other):
        _need(one, SCALARS, step.at, "a value of ? : is")
    types = (value.types | other.types) & SCALARS
    return _Sort(types, 0, _varies(operands), value.numbers + other.numbers)


def _size(step: Instruction, operands: list[_Sort], _: Names) -> _Sort:
    _need(operands[0], 1 << STRING | 1 << LIST, step.at, "size takes")
    return _Sort(NUMBERS, varies=operands[0].varies)


def _days(step: Instruction, operands: list[_Sort], _: Names) -> _Sort:
    _need(operands[0], NUMBERS | 1 << STRING, step.at, "days_since takes Unix seconds or a time:")
    return _Sort(NUMBERS, varies=operands[0].varies)


def _search(step: Instruction, operands: list[_Sort], _: Names) -> _Sort:
    for one in operands:
        _need(one, 1 << STRING, step.at, f"{step.op} takes")
    if all(one.varies for one in operands):
        raise fault(step.at, f"only one of the strings of {step.op} may depend on the item")
    return _Sort(1 << BOOL, varies=_varies(operands))


def _varies(operands: list[_Sort]) -> bool:
    return any(one.varies for one in operands)


def _need(found: _Sort, types: int, at: int, what: str) -> None:
    # A name whose items all lost their value is of no type, and fits everywhere.
    if found.types and not found.types & types:
        raise fault(at, f"{what} {_words(types)}; {found.label} is {_words(found.types)}")


def _words(types: int) -> str:
    found = [word for word, bits in _WORDS.items() if types & bits]
    named = [word if word == "true or false" else f"a {word}" for word in found]
    return " or ".join(named) or "missing"


_RULES: dict[str, Callable[[Instruction, list[_Sort], Names], _Sort]] = {
    "constant": _constant,
    "name": _name,
    "kept": _kept,
    "has": _has,
    "now": _now,
    "list": _list,
    **dict.fromkeys(("&&", "||", "!"), _logic),
    **dict.fromkeys(("==", "!=", "<", "<=", ">", ">="), _comparison),
    "in": _within,
    **dict.fromkeys("+-*/%", _arithmetic),
    "negative": _negative,
    "?:": _choice,
    "size": _size,
    "days_since": _days,
    **dict.fromkeys(("startsWith", "endsWith", "contains"), _search),
}
