"""Return of freed memory to the operating system, and pauses of the garbage collection."""

import ctypes
import gc
import os
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Lock

_lock = Lock()
_pauses = 0


def give_back() -> None:
    """Return freed memory that the C library keeps for reuse to the operating system.

    Systems whose C library has no ``malloc_trim`` (all but glibc) are not affected.
    """
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None) if os.name == "posix" else None
    if trim is not None:
        trim(0)


@contextmanager
def collection_paused() -> Iterator[None]:
    """Run no garbage collection meanwhile, in any thread.

    While many objects are made that stay, collections would find nothing, and each full one stops
    all threads for as long as it takes to visit every object. Pauses may overlap. A collection that
    was disabled before stays disabled.
    """
    global _pauses
    with _lock:
        if _pauses or gc.isenabled():
            _pauses += 1
            gc.disable()
            paused = True
        else:
            paused = False
    try:
        yield
    finally:
        with _lock:
            if paused:
                _pauses -= 1
                if not _pauses:
                    gc.enable()
