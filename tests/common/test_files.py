"""Large files are flushed in pieces, and complete."""

import os
from pathlib import Path

import pytest

from nearline.common import files
from nearline.common.files import write_in_pieces


def test_a_large_file_is_flushed_after_every_piece(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, flushed = tmp_path / "large", list[int]()
    monkeypatch.setattr(files, "PIECE_BYTES", 10)
    monkeypatch.setattr(os, "fsync", lambda handle: flushed.append(os.fstat(handle).st_size))
    parts: list[bytes | memoryview] = [b"x" * 4, memoryview(b"y" * 25), b"", b"z" * 3]
    with path.open("wb") as file:
        write_in_pieces(file, parts)
    assert path.read_bytes() == b"".join(parts)
    # At 4 + 10, at 10 more, and at the end.
    assert flushed == [14, 24, 32]
