"""Spellings of missing values."""

from collections.abc import Collection
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

_WORDS = ("null", "nan", "none", "n/a", "n.a.", "nil", "nat", "undefined", "unknown")
_MARKS = ("", "\\N", "#N/A", "<NA>", "<null>", "(null)", "-", "--", "\u2013", "\u2014")
# Each in lower case, in upper case and capitalised.
_SPELLED = tuple(
    dict.fromkeys(form for word in _WORDS for form in (word, word.upper(), word.capitalize()))
)
# An id "NA" may be a country or a person; in other columns it is a missing value.
MISSING_IDS = (*_MARKS, *_SPELLED, "NaN", "NaT")
MISSING = (*MISSING_IDS, "NA", "na")


def without_missing(column: Any, spellings: Collection[str] = MISSING) -> Any:
    """Replace the cells of a text column that mean a missing value by null.

    These are cells of spaces only, and the `spellings`, with or without spaces around them. An
    empty cell becomes null only if "" is one of the `spellings`.
    """
    trimmed = pc.utf8_trim_whitespace(column)
    absent = pc.is_in(trimmed, value_set=pa.array(spellings, pa.string()))
    blank = pc.and_(pc.equal(trimmed, ""), pc.not_equal(column, ""))
    absent = pc.fill_null(pc.or_(absent, blank), False)
    if not pc.any(absent).as_py():
        return column
    return pc.if_else(absent, pa.scalar(None, pa.string()), column)
