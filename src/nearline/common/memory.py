"""Return of freed memory to the operating system."""

import ctypes
import os


def give_back() -> None:
    """Return freed memory, which the C library would keep, to the system (glibc only)."""
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None) if os.name == "posix" else None
    if trim is not None:
        trim(0)
