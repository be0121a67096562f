"""Return of freed memory to the operating system, and pauses of the garbage collection."""

import ctypes
import gc
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from threading import Lock

# Parameters of glibc's ``mallopt``: bytes from which on an allocation is mapped by itself, free
# bytes at the end of the heap from which on they are returned, and the number of arenas.
_MMAP_THRESHOLD, _TRIM_THRESHOLD, _ARENA_MAX = -3, -1, -8
MAPPED_BYTES, KEPT_BYTES, ARENAS = 4_194_304, 16_777_216, 2

_lock = Lock()
_pauses = 0


def keep_little() -> None:
    """Have the C library keep little freed memory for the rest of the process.

    By default, glibc raises its thresholds when large arrays are freed, so that later ones are put
    between small objects and their memory is hardly ever returned, and it has up to eight arenas
    per core, each of which keeps its own free memory. Must be called before threads are started;
    other C libraries are not affected.
    """
    mallopt = _function("mallopt")
    if mallopt is not None:
        mallopt(_MMAP_THRESHOLD, MAPPED_BYTES)
        mallopt(_TRIM_THRESHOLD, KEPT_BYTES)
        mallopt(_ARENA_MAX, ARENAS)


def give_back() -> None:
    """Return freed memory that the C library keeps for reuse to the operating system.

    Systems whose C library has no ``malloc_trim`` (all but glibc) are not affected.
    """
    trim = _function("malloc_trim")
    if trim is not None:
        trim(0)


def _function(name: str) -> Callable[..., int] | None:
    """Return a function that only glibc has."""
    library = ctypes.CDLL(None) if os.name == "posix" else None
    known = hasattr(library, "gnu_get_libc_version")
    return getattr(library, name, None) if known else None


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
