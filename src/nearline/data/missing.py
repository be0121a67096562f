"""How other programs write that a value is missing."""

from collections.abc import Collection
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

_WORDS = ("null", "nan", "none", "n/a", "nil", "nat", "undefined", "unknown")
_MARKS = ("", "\\N", "#N/A", "<NA>", "<null>", "(null)", "-", "--", "\u2013", "\u2014")
# Written in lower case, in capitals, and with a capital.
_SPELLED = tuple(
    dict.fromkeys(form for word in _WORDS for form in (word, word.upper(), word.capitalize()))
)
# An id "NA" may be a country or a person; in other columns it is a missing value.
MISSING_IDS = (*_MARKS, *_SPELLED, "NaN", "NaT")
MISSING = (*MISSING_IDS, "NA", "na")


def without_missing(column: Any, spellings: Collection[str] = MISSING) -> Any:
    """Return a text column with null where a cell is blank or, but for spaces, a spelling.

    An empty cell is no blank: it is null only where "" is among `spellings`.
    """
    trimmed = pc.utf8_trim_whitespace(column)
    absent = pc.is_in(trimmed, value_set=pa.array(spellings, pa.string()))
    blank = pc.and_(pc.equal(trimmed, ""), pc.not_equal(column, ""))
    absent = pc.fill_null(pc.or_(absent, blank), False)
    if not pc.any(absent).as_py():
        return column
    return pc.if_else(absent, pa.scalar(None, pa.string()), column)
