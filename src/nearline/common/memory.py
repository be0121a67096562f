"""Return of freed memory to the operating system."""

import ctypes
import os


def give_back() -> None:
    """Return freed memory that the C library keeps for reuse to the operating system.

    Systems whose C library has no ``malloc_trim`` (all but glibc) are not affected.
    """
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None) if os.name == "posix" else None
    if trim is not None:
        trim(0)
