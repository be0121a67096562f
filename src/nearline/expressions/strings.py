"""A table of strings: each one that a column contains has a number, its code."""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from nearline.kernels.arrays import grown


def seconds_of(text: str) -> float:
    """Return the Unix seconds of an ISO 8601 time, NaN for other strings."""
    try:
        moment = datetime.fromisoformat(text)
        return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
    except (ValueError, OverflowError):
        return np.nan


class StringTable:
    """Strings and their codes, which count references so that the table does not grow forever."""

    def __init__(self) -> None:
        self._codes: dict[str, int] = {}
        self._texts: list[str] = []
        self._uses = np.zeros(0, dtype=np.int64)
        self._free: list[int] = []
        # Unix seconds of the strings that are times, by code; NaN for others, -inf if not read yet.
        self._seconds = np.zeros(0)
        # All strings as an Arrow array, and the version of the table to which it belongs.
        self._version = 0
        self._column: tuple[int, Any] = (-1, None)

    def __len__(self) -> int:
        """Return the number of codes, including free ones."""
        return len(self._texts)

    def code(self, text: str) -> int | None:
        """Return the code of a string; None if it is not in the table."""
        return self._codes.get(text)

    def text(self, code: int) -> str:
        """Return the string with a code; empty if the code is free."""
        return self._texts[code]

    def texts(self, codes: NDArray[np.int64]) -> list[str]:
        """Return the strings with some codes."""
        if len(codes) == len(self._texts):
            return self._texts
        texts = self._texts
        return [texts[code] for code in codes.tolist()]

    def seconds(self, codes: NDArray[np.int64]) -> NDArray[np.float64]:
        """Return the Unix seconds of the strings with some codes; NaN where it is not a time.

        Each string is read once, so this takes O(codes) time from the second call on.
        """
        found = self._seconds[codes]
        for code in np.unique(codes[found == -np.inf]).tolist():
            text = self._texts[code]
            self._seconds[code] = seconds_of(text)
            if self._texts[code] is not text:  # the code was given to another string meanwhile
                self._seconds[code] = -np.inf
        unread = found == -np.inf
        found[unread] = self._seconds[codes[unread]]
        return np.where(found == -np.inf, np.nan, found)

    @property
    def column(self) -> Any:
        """All strings as an Arrow array, by code; built again after strings were added."""
        version, column = self._column
        if version != self._version:
            version = self._version  # before the strings are read: they may change meanwhile
            column = pa.array(self._texts, pa.large_string())
            self._column = version, column
        return column

    def take(self, text: str) -> int:
        """Return the code of a string and add a reference, adding the string if it is new."""
        code = self._code_of(text)
        self._uses[code] += 1
        return code

    def take_all(self, texts: Sequence[str]) -> NDArray[np.int64]:
        """Return the codes of strings, and add a reference for each."""
        codes = np.fromiter(map(self._code_of, texts), np.int64, len(texts))
        np.add.at(self._uses, codes, 1)
        return codes

    def _code_of(self, text: str) -> int:
        """Return the code of a string, which is added without a reference if it is new."""
        code = self._codes.get(text)
        if code is not None:
            return code
        if self._free:
            code = self._free.pop()
            self._texts[code] = text
            self._seconds[code] = -np.inf
        else:
            code = len(self._texts)
            self._texts.append(text)
            if code >= len(self._uses):
                self._uses = grown(self._uses, code + 1)
                self._seconds = grown(self._seconds, code + 1, -np.inf)
        self._codes[text] = code
        self._version += 1
        return code

    def drop(self, code: int) -> None:
        """Remove a reference; a string without references leaves the table."""
        self._uses[code] -= 1
        if not self._uses[code]:
            del self._codes[self._texts[code]]
            self._texts[code] = ""
            self._free.append(code)
            self._version += 1

    def drop_all(self, codes: NDArray[np.int64]) -> None:
        """Remove one reference for each of many codes."""
        for code in codes.tolist():
            self.drop(code)
