"""BLAS and LAPACK: a limit on their threads, and SciPy's, which is optional."""

import sys
from contextlib import AbstractContextManager
from functools import cache
from importlib import import_module
from typing import Any

from threadpoolctl import ThreadpoolController

from nearline.errors import MissingExtra

# Numba's compiled products and decompositions call the functions of this module.
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


def scipy_module(name: str, user: str) -> Any:
    """Import a module of SciPy.

    Parameters
    ----------
    name : str
        Name of the module.
    user : str
        What needs it, for the message.

    Raises
    ------
    MissingExtra
        SciPy is not installed.
    """
    try:
        return import_module(name)
    except ImportError as error:
        raise MissingExtra(
            f"{user} needs SciPy; install it: pip install 'nearline[classic]'"
        ) from error
