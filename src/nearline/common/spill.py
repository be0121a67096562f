"""Arrays in temporary files, for results that may be larger than the memory that they should take.

The bytes of such an array are pages of a file, which the operating system can write back and
reclaim. The file has no name and disappears with the array. It is created in the folder for
temporary files (``TMPDIR``).
"""

import mmap
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nearline.common.budget import divided

# Share of the memory of a job that one array may take before it is written to a file.
SHARE = 6
_limit: ContextVar[int | None] = ContextVar("spill_limit", default=None)


def spill_limit() -> int:
    """Return the bytes above which an array should be written to a file."""
    limit = _limit.get()
    return divided(None).job // SHARE if limit is None else limit


@contextmanager
def memory_limited(memory: int | None) -> Iterator[None]:
    """Return a context in which `spill_limit` follows from a memory budget (`Config.memory`)."""
    token = _limit.set(divided(memory).job // SHARE)
    try:
        yield
    finally:
        _limit.reset(token)


class SpilledArray:
    """Array of unknown length that is written to a temporary file piece by piece.

    Parameters
    ----------
    dtype : dtype
        Type of the entries.
    """

    def __init__(self, dtype: Any) -> None:
        self._dtype = np.dtype(dtype)
        self._file = tempfile.TemporaryFile()  # noqa: SIM115 (closed by `finish`)

    def append(self, piece: NDArray[Any]) -> None:
        """Write the next piece."""
        self._file.write(np.ascontiguousarray(piece, dtype=self._dtype).data)

    def finish(self) -> NDArray[Any]:
        """Return the whole array, read-only."""
        with self._file as file:
            file.flush()
            if not file.tell():
                return np.zeros(0, dtype=self._dtype)
            # The array keeps the map alive, and the map the file.
            return np.frombuffer(
                mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ), dtype=self._dtype
            )
