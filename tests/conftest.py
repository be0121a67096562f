"""Garbage collection that skips the objects that exist before the first test."""

import gc
from collections.abc import Iterator

import pytest


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Iterator[None]:
    # Imported modules hold millions of objects that are never garbage. Some tests collect garbage
    # often, and each time would visit all of these.
    gc.disable()
    try:
        return (yield)
    finally:
        gc.collect()
        gc.freeze()
        gc.enable()
