"""A table of strings: each one that a column contains has a number, its code."""

from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from nearline.kernels.arrays import grown


class StringTable:
    """Strings and their codes, which count references so that the table does not grow forever."""

    def __init__(self) -> None:
        self._codes: dict[str, int] = {}
        self._texts: list[str] = []
        self._uses = np.zeros(0, dtype=np.int64)
        self._free: list[int] = []
        # Seconds of the strings that are times, by code; NaN for others, -inf for unknown.
        self.seconds = np.zeros(0)
        self._column: Any = None

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

    @property
    def column(self) -> Any:
        """All strings as an Arrow array, by code; built again after strings were added."""
        if self._column is None:
            self._column = pa.array(self._texts, pa.large_string())
        return self._column

    def take(self, text: str) -> int:
        """Return the code of a string and add a reference, adding the string if it is new."""
        code = self._codes.get(text)
        if code is None:
            self._column = None
            if self._free:
                code = self._free.pop()
                self._texts[code] = text
                self.seconds[code] = -np.inf
            else:
                code = len(self._texts)
                self._texts.append(text)
                self._uses = grown(self._uses, code + 1)
                self.seconds = grown(self.seconds, code + 1, -np.inf)
            self._codes[text] = code
        self._uses[code] += 1
        return code

    def drop(self, code: int) -> None:
        """Remove a reference; a string without references leaves the table."""
        self._uses[code] -= 1
        if not self._uses[code]:
            self._column = None
            del self._codes[self._texts[code]]
            self._texts[code] = ""
            self._free.append(code)

    def drop_all(self, codes: NDArray[np.int64]) -> None:
        """Remove one reference for each of many codes."""
        for code in codes.tolist():
            self.drop(code)
