"""Gives freed memory back to the system."""

import ctypes
import os


def give_back() -> None:
    """Return what is free: the C library keeps it for later otherwise (glibc only)."""
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None) if os.name == "posix" else None
    if trim is not None:
        trim(0)
