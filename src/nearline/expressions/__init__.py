"""Filters and boosts: a subset of CEL, evaluated on columns of the whole catalogue.

An expression is parsed into a `Program` (`tokens`, `parser`), its types are checked against the
attributes that the catalogue has (`checking`), and it is evaluated on arrays with one entry for
each item (`machine`, `operands`). `ItemColumns` stores these arrays and follows every change of an
item. `Expressions` keeps results by expression and brings them up to date item by item.

Source of the language: the Common Expression Language, https://github.com/google/cel-spec. What is
supported, and where it differs, is listed in docs/filters.md.
"""

from nearline.expressions.columns import FIELDS, ItemColumns
from nearline.expressions.kept import Expressions
from nearline.expressions.machine import Bindings
from nearline.expressions.parser import ATTRIBUTES, MAX_CHARS, Program, parse

__all__ = [
    "ATTRIBUTES",
    "FIELDS",
    "MAX_CHARS",
    "Bindings",
    "Expressions",
    "ItemColumns",
    "Program",
    "parse",
]
