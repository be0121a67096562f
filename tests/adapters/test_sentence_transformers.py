"""The library's place is taken by a module that counts letters."""

import sys
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from nearline.adapters.sentence_transformers import SentenceTransformersEncoder
from nearline.errors import DataNotFound, MissingExtra


class Letters:
    def __init__(self, name: str) -> None:
        if name == "unknown":
            raise OSError("no such model")

    def encode(self, texts: Sequence[str], **options: bool) -> np.ndarray:
        assert options == {"show_progress_bar": False, "convert_to_numpy": True}
        return np.array([[text.count("a"), text.count("b")] for text in texts], dtype=np.float64)


@pytest.fixture
def library(monkeypatch: pytest.MonkeyPatch) -> None:
    found = SimpleNamespace(SentenceTransformer=Letters)
    monkeypatch.setitem(sys.modules, "sentence_transformers", found)


def test_vectors_are_those_of_the_library_scaled_to_unit_length(library: None) -> None:
    encoder = SentenceTransformersEncoder("sentence_transformers:letters")
    found = encoder.encode(["aaabbbb", "b"] * 200)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, np.tile([[0.6, 0.8], [0, 1]], (200, 1)), atol=1e-6)
    assert len(encoder.encode([])) == 0


def test_the_fingerprint_follows_the_files(library: None, tmp_path: Path) -> None:
    (tmp_path / "weights").write_text("one")
    name = f"sentence_transformers:{tmp_path}"
    before = SentenceTransformersEncoder(name).fingerprint
    assert SentenceTransformersEncoder(name).fingerprint == before
    (tmp_path / "weights").write_text("two")
    assert SentenceTransformersEncoder(name).fingerprint != before


def test_errors_are_named(library: None, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(DataNotFound, match="cannot load 'unknown'"):
        SentenceTransformersEncoder("sentence_transformers:unknown").encode(["a"])
    monkeypatch.setitem(sys.modules, "sentence_transformers", None)
    with pytest.raises(MissingExtra, match=r"nearline\[sentence-transformers\]"):
        SentenceTransformersEncoder("sentence_transformers:letters")
