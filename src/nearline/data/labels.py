"""Conversion of cells of a catalogue to lists of labels."""

import ast
import json
import re
from collections import Counter
from collections.abc import Iterable, Iterator
from typing import Any

from nearline.data.columns import MISSING

# Separators of labels, tried in this order; a column has only one.
_SEPARATORS = ("|", ";", ",")
# Separator in a path of categories: "Clothing > Shirts".
_PATH = re.compile(r"\s+(?:>|\u203a|\u00bb)\s+")
# Keys of the label in an object.
_KEYS = ("name", "label", "title", "value", "term", "tag", "text", "slug")
NAMES = frozenset(_KEYS)
# Keys of numbers that are about a label, and are none.
_NUMBERS = frozenset(("id", "_id", "count", "rank", "order", "score"))
_MISSING = frozenset((*MISSING, "(no genres listed)"))  # MovieLens


def separator_of(cells: Iterable[str | None], *, named: bool) -> str | None:
    """Return the separator of labels in a text column; None if each cell is a single label.

    Parameters
    ----------
    cells : iterable of str or None
    named : bool
        Whether the name of the column says that it contains labels. If not, a semicolon or comma
        is a separator only if the parts recur: at most half of them are distinct.
    """
    texts = [cell for cell in cells if cell and _parsed(cell) is None]
    for separator in _SEPARATORS:
        if not any(separator in text for text in texts):
            continue
        if named or separator == "|":
            return separator
        parts = Counter(part for text in texts for part in split(text, separator))
        cut = {text for text in texts if separator in text}
        if 2 * len(parts) <= parts.total() and len(parts) <= len(cut) + 1:
            return separator
    return None


def split(text: str, separator: str | None) -> list[str]:
    """Split text at each separator, and paths of categories into their parts."""
    parts = [text] if separator is None else text.split(separator)
    return [step.strip() for part in parts for step in _PATH.split(part) if step.strip()]


def labels_in(value: object, separator: str | None) -> list[str]:
    """Return the distinct labels of one cell, in order.

    Parameters
    ----------
    value : object
        Text with separated labels; a list or object in JSON or Python syntax; or a list, which can
        be nested or contain objects with a name.
    separator : str or None
        Result of `separator_of` for the column.
    """
    if isinstance(value, str):
        parsed = _parsed(value)
        found = split(value, separator) if parsed is None else _flattened(parsed)
    else:
        found = _flattened(value)
    return list(dict.fromkeys(label for label in found if label not in _MISSING))


def with_column(column: str, labels: Iterable[str]) -> list[str]:
    """Prefix labels with the name of their column: ``vegan=yes``."""
    return [f"{column}={label}" for label in labels]


def _parsed(text: str) -> Any:
    """Parse a list, tuple, set or object in text; return None if the text contains none."""
    text = text.strip()
    if text[:1] + text[-1:] not in ("[]", "{}", "()"):
        return None
    for read in (json.loads, ast.literal_eval):
        try:
            found = read(text)
        except (ValueError, SyntaxError, MemoryError, RecursionError):
            continue
        if isinstance(found, set | frozenset):
            return sorted(found, key=str)  # a set has no order of its own
        return found if isinstance(found, list | dict | tuple) else None
    # An array as PostgreSQL writes it, or a list whose texts have no quotation marks.
    if text[0] in "{[" and ":" not in text and not set("[]{}") & set(text[1:-1]):
        return [part.strip().strip("\"'") for part in text[1:-1].split(",")]
    return None


def _is_counted(key: str, entry: object) -> bool:
    return isinstance(entry, int | float) and entry > 0 and str(key).lower() not in _NUMBERS


def _flattened(value: Any) -> Iterator[str]:
    """Yield the labels in nested lists and objects, outer ones first."""
    if isinstance(value, dict):
        named = [value[name] for name in _KEYS if value.get(name) is not None]
        texts = [entry for entry in value.values() if isinstance(entry, str)]
        # Otherwise, keys with numbers are labels: {"Action": 120, "Puzzle": 8}.
        counted = [key for key, entry in value.items() if _is_counted(key, entry)]
        yield from _flattened((named or texts)[:1] or counted)
    elif isinstance(value, list | tuple):
        for entry in value:
            yield from _flattened(entry)
    elif value is not None:
        text = str(value).strip()
        if text:
            yield text
