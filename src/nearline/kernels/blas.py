"""A limit on the threads of BLAS, for code that starts its own threads or needs fixed sums."""

from contextlib import AbstractContextManager
from functools import cache
from typing import Any

import scipy.linalg.cython_blas  # noqa: F401 - loads the BLAS that compiled kernels call
from threadpoolctl import ThreadpoolController


@cache
def _libraries() -> ThreadpoolController:
    # Finding the loaded libraries takes milliseconds, more than many a small solve.
    return ThreadpoolController()


def one_blas_thread() -> AbstractContextManager[Any]:
    """Return a context manager in which NumPy, SciPy and kernels call BLAS with one thread."""
    limit: AbstractContextManager[Any] = _libraries().limit(limits=1, user_api="blas")
    return limit
