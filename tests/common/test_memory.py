"""Memory that is returned to the operating system, and pauses of the garbage collection."""

import gc
import platform
import subprocess
import sys

import pytest

from nearline.common.memory import collection_paused

# Prints the bytes of arrays that are mapped by themselves, after a larger array was freed.
MAPPED = """
import ctypes
import numpy as np
from nearline.common.memory import keep_little

{first}
class Statistics(ctypes.Structure):
    _fields_ = [(name, ctypes.c_size_t) for name in "abcdefghij"]

library = ctypes.CDLL(None)
library.mallinfo2.restype = Statistics
large = np.ones(20_000_000, dtype=np.int8)
del large
before = library.mallinfo2().e
kept = np.ones(10_000_000, dtype=np.int8)
print(library.mallinfo2().e - before)
"""


def mapped(first: str) -> int:
    command = [sys.executable, "-c", MAPPED.format(first=first)]
    return int(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


@pytest.mark.skipif(
    platform.libc_ver()[0] != "glibc" or platform.libc_ver()[1] < "2.33",
    reason="needs the statistics of glibc 2.33",
)
def test_a_large_array_does_not_share_the_heap_even_after_a_larger_one_was_freed() -> None:
    assert mapped("keep_little()") >= 10_000_000
    assert mapped("") == 0  # what happens otherwise


def test_overlapping_pauses_end_with_the_last() -> None:
    assert gc.isenabled()
    first, second = collection_paused(), collection_paused()
    first.__enter__()
    second.__enter__()
    assert not gc.isenabled()
    first.__exit__(None, None, None)
    assert not gc.isenabled()
    second.__exit__(None, None, None)
    assert gc.isenabled()


def test_a_collection_that_was_disabled_stays_disabled() -> None:
    gc.disable()
    try:
        with collection_paused():
            assert not gc.isenabled()
        assert not gc.isenabled()
    finally:
        gc.enable()
