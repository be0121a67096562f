"""Kernels in a folder that cannot be written are used, and others compiled elsewhere."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

PROGRAM = """
import numpy as np
from nearline.kernels.opinions import any_negative
any_negative(np.ones(1, np.{kind}))
print(sum(any_negative.stats.cache_hits.values()), sum(any_negative.stats.cache_misses.values()))
"""
pytestmark = pytest.mark.skipif(
    os.environ.get("NUMBA_DISABLE_JIT") == "1", reason="nothing is compiled"
)


def call(kind: str, folders: Path) -> list[int]:
    """Call a kernel in a process of its own; return hits and misses of the compiler's cache."""
    settings = {
        "PATH": os.environ["PATH"],
        "PYTHONPATH": os.pathsep.join(sys.path),
        "PYTHONDONTWRITEBYTECODE": "1",
        "NUMBA_CACHE_DIR": str(folders / "kept"),
        "TMPDIR": str(folders / "temporary"),
        "HOME": "/dev/null",
        # Locators that find a folder are left out: root may write everywhere.
        "NUMBA_CACHE_LOCATOR_CLASSES": os.environ.get("LOCATOR", ""),
    }
    command = [sys.executable, "-c", PROGRAM.format(kind=kind)]
    result = subprocess.run(command, env=settings, capture_output=True, text=True, check=True)
    return [int(word) for word in result.stdout.split()]


def test_kept_kernels_are_read_and_new_ones_are_kept_elsewhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "temporary").mkdir()
    assert call("float32", tmp_path) == [0, 1]
    kept = sorted((tmp_path / "kept").rglob("*.nb?"))
    assert len(kept) == 2
    monkeypatch.setenv("LOCATOR", "nearline.kernels.read_only.LinkedLocator")
    assert call("float32", tmp_path) == [1, 0]
    assert call("float64", tmp_path) == [0, 1]
    assert call("float64", tmp_path) == [1, 0]
    assert sorted((tmp_path / "kept").rglob("*.nb?")) == kept


def test_a_folder_that_others_can_write_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LOCATOR", "nearline.kernels.read_only.LinkedLocator")
    folder = tmp_path / "temporary" / f"nearline-kernels-{os.getuid()}"
    folder.mkdir(parents=True)
    folder.chmod(0o777)
    with pytest.raises(subprocess.CalledProcessError) as error:
        call("float32", tmp_path)
    assert "is not a folder of this user alone" in error.value.stderr
