"""Vectors in a file: kept through restarts, kills and other processes."""

import logging
import os
import signal
from multiprocessing.connection import Connection
from pathlib import Path

import numpy as np
import pytest
from tests.forking import forks

from nearline.encoders import VectorCache

WIDTH = 384


def vectors(count: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal((count, WIDTH)).astype(np.float32)


def test_cached_vectors_are_bit_identical(tmp_path: Path) -> None:
    path, rows = tmp_path / "deep" / "vectors.db", vectors(3)
    cache = VectorCache(path)
    cache.add("m", ["a", "b", "ü"], rows)
    cache.close()
    cache = VectorCache(path)
    found = cache.get("m", ["b", "c", "ü"])
    assert list(found) == ["b", "ü"]
    np.testing.assert_array_equal(found["b"], rows[1])
    np.testing.assert_array_equal(found["ü"], rows[2])
    assert cache.get("other model", ["a"]) == {}
    cache.add("m", ["b"], vectors(1, seed=9))
    np.testing.assert_array_equal(cache.get("m", ["b"])["b"], rows[1])
    cache.close()
    cache.close()


def _write_on(path: Path, told: Connection) -> None:
    cache = VectorCache(path)
    for number in range(10_000):
        cache.add("m", [f"{number}-{row}" for row in range(20)], vectors(20, number))
        told.send(number)


def test_a_killed_writer_leaves_whole_rows_and_no_lock(tmp_path: Path) -> None:
    path = tmp_path / "vectors.db"
    reader = VectorCache(path)
    context = forks()
    here, there = context.Pipe(duplex=False)
    process = context.Process(target=_write_on, args=(path, there))
    process.start()
    last = 0
    while last < 30:
        last = here.recv()
    # Another process may read while one writes.
    assert len(reader.get("m", ["0-0", "30-19"])) == 2
    assert process.pid is not None
    os.kill(process.pid, signal.SIGKILL)
    process.join()
    while here.poll():
        try:
            last = here.recv()
        except EOFError:
            break
    for cache in (reader, VectorCache(path)):
        for number in range(last + 1):
            found = cache.get("m", [f"{number}-{row}" for row in range(20)])
            np.testing.assert_array_equal(np.stack(list(found.values())), vectors(20, number))
        assert len(cache.get("m", [f"{last + 2}-{row}" for row in range(20)])) == 0
        cache.close()
    cache = VectorCache(path)
    cache.add("m", ["after"], vectors(1))
    assert "after" in cache.get("m", ["after"])
    cache.close()


def test_an_unusable_cache_file_is_ignored_with_a_warning(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "vectors.db"
    path.write_bytes(b"no database at all, but long enough to be taken for a header" * 20)
    with caplog.at_level(logging.WARNING):
        cache = VectorCache(path)
    assert "cannot be used" in caplog.text
    cache.add("m", ["a"], vectors(1))
    assert "a" in cache.get("m", ["a"])
    cache.close()
