"""A limit on the threads of BLAS, for code that starts its own threads or needs fixed sums."""

import sys
from contextlib import AbstractContextManager
from functools import cache
from typing import Any

from threadpoolctl import ThreadpoolController

# Numba's compiled products and decompositions call the functions of this module, which is optional.
COMPILED = "scipy.linalg.cython_blas"


@cache
def _libraries(_compiled: bool) -> ThreadpoolController:
    # Finding the loaded libraries takes milliseconds, more than many a small solve.
    return ThreadpoolController()


def one_blas_thread() -> AbstractContextManager[Any]:
    """Return a context manager in which NumPy, SciPy and kernels call BLAS with one thread."""
    controller = _libraries(COMPILED in sys.modules)
    limit: AbstractContextManager[Any] = controller.limit(limits=1, user_api="blas")
    return limit
