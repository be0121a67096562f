"""Where pairs of items are counted: in this process, or where the caller says."""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from nearline.kernels.edges import Rows
from nearline.kernels.pair_counts import Counts, pair_counts

Doubles = NDArray[np.float64]


class PairCounter(Protocol):
    """Protocol of functions with the arguments and the result of `kernels.pair_counts`."""

    def __call__(
        self, rows: Rows, steps: Doubles, n_items: int, *, most: int, shares: Doubles
    ) -> Counts:
        """Return the counts of all pairs, equal bit for bit to those of `pair_counts`."""
        ...


_COUNTER: ContextVar[PairCounter] = ContextVar("pair_counter", default=pair_counts)


def counter() -> PairCounter:
    """Return the function that counts pairs in this context."""
    return _COUNTER.get()


@contextmanager
def counted_by(function: PairCounter) -> Iterator[None]:
    """Return a context in which item graphs count pairs by another function.

    Counts are sums of whole numbers, so it does not matter where and in what order they are added.
    """
    token = _COUNTER.set(function)
    try:
        yield
    finally:
        _COUNTER.reset(token)
