"""Manifests: IDs, validation and canonical encoding."""

import hashlib
import json
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest

from nearline.errors import Damaged, InvalidInput
from nearline.snapshots import Manifest, build
from nearline.snapshots.manifest import decode, encode

FIELDS: dict[str, Any] = {
    "model": "item_graph",
    "config": {"shrinkage": 10.0, "relations": ("co", "next"), "deep": {"b": 1, "a": None}},
    "arrays": {"weights": np.array([1.5, 2.5], dtype=np.float32)},
    "item_ids": ["i1", "é"],
    "offset": 7,
    "erasures": 0,
    "seed": 3,
    "metrics": {"ndcg@10": np.float64(0.25), "n": 4},
    "data_until": 1_700_000_000,
}


def manifest(**changes: Any) -> Manifest:
    return build(**{**FIELDS, **changes})


def test_fields() -> None:
    made = manifest()
    assert (made.format, made.n_items, made.offset) == (1, 2, 7)
    assert made.config["relations"] == ["co", "next"]
    assert made.metrics == {"ndcg@10": 0.25, "n": 4.0}
    assert list(made.arrays) == ["item_ids.bytes", "item_ids.starts", "weights"]
    weights = made.arrays["weights"]
    assert (weights.dtype, weights.shape) == ("float32", (2,))
    little_endian = bytes.fromhex("0000c03f 00002040")
    assert weights.sha256 == hashlib.sha256(little_endian).hexdigest()


def test_same_content_same_id_whatever_the_order_or_memory_layout() -> None:
    shuffled = {"deep": {"a": None, "b": 1}, "relations": ["co", "next"], "shrinkage": 10.0}
    wide = np.array([[1.5, 0], [2.5, 0]], dtype=np.float32)
    swapped = np.array([1.5, 2.5], dtype=">f4")
    assert manifest(config=shuffled).id == manifest().id
    assert manifest(arrays={"weights": wide[:, 0]}).id == manifest().id
    assert manifest(arrays={"weights": swapped}).id == manifest().id


@pytest.mark.parametrize(
    "change",
    [
        {"model": "other"},
        {"config": {}},
        {"arrays": {"weights": np.array([1.5, 2.25], dtype=np.float32)}},
        {"arrays": {"weights": np.array([[1.5, 2.5]], dtype=np.float32)}},
        {"item_ids": ["é", "i1"]},
        {"item_ids": ["i", "1é"]},
        {"offset": 8},
        {"erasures": 1},
        {"seed": 4},
        {"metrics": {}},
        {"data_until": None},
    ],
)
def test_different_content_has_a_different_id(change: dict[str, Any]) -> None:
    assert manifest(**change).id != manifest().id


def test_encoded_form_is_canonical_and_reads_back() -> None:
    made = manifest()
    data = encode(made)
    assert decode(data, "here") == made
    assert (
        data
        == json.dumps(
            msgspec.to_builtins(made), sort_keys=True, separators=(",", ":"), ensure_ascii=False
        ).encode()
    )


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"arrays": {"w": np.array([1.0, np.nan])}}, "array w holds nan at flat index 1"),
        ({"arrays": {"w": np.array([[1.0], [np.inf]])}}, "array w holds inf at flat index 1"),
        ({"arrays": {"w": np.array(["text"])}}, "array w is <U4 with 1 dimensions"),
        ({"arrays": {"w": np.array([None])}}, "array w is object"),
        ({"arrays": {"w": np.array([1j])}}, "array w is complex128"),
        ({"arrays": {"w": np.zeros((1,) * 9)}}, "with 9 dimensions"),
        ({"arrays": {"../w": np.zeros(1)}}, "'../w' cannot be stored"),
        ({"arrays": {"__metadata__": np.zeros(1)}}, "cannot be stored"),
        ({"arrays": {"item_ids.bytes": np.zeros(1)}}, "reserved for item ids"),
        ({"item_ids": ["a", "b", "a"]}, "item id 'a' occurs in the vocabulary twice"),
        ({"item_ids": ["a", "\ud800"]}, "lone surrogate"),
        ({"metrics": {"ndcg": float("nan")}}, "metrics is not JSON with finite numbers"),
        ({"config": {"rate": float("inf")}}, "config is not JSON with finite numbers"),
        ({"config": {"path": Path()}}, "config is not JSON"),
        ({"data_until": float("inf")}, "data_until is not JSON"),
        ({"offset": -1}, "offset"),
    ],
)
def test_unsupported_values_are_rejected(change: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidInput, match=message):
        manifest(**change)


def test_unusual_arrays_are_described() -> None:
    arrays = {
        "empty": np.zeros((0, 3), dtype=np.int64),
        "scalar": np.array(2.5),
        "flags": np.array([True, False]),
        "half": np.array([0.5], dtype=np.float16),
    }
    specs = manifest(arrays=arrays, item_ids=[]).arrays
    assert specs["empty"].shape == (0, 3)
    assert specs["scalar"].shape == ()
    assert specs["flags"].dtype == "bool"
    assert specs["half"].dtype == "float16"


def altered(**changes: Any) -> bytes:
    content = msgspec.to_builtins(manifest()) | changes
    return msgspec.json.encode(content, order="sorted")


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "not a manifest"),
        (b"\xff\xfe", "not a manifest"),
        (b"[" * 100_000, "not a manifest"),
        (b'{"format":1}', "not a manifest"),
        (b'{"format":2}', "has format 2; this version of nearline reads 1"),
        (altered(extra=1), "unknown field `extra`"),
        (altered(offset=8), "does not have the hash"),
        (altered(id="0" * 16), "does not have the hash"),
        (altered(id="../../../../etc/x"), "not a manifest"),
        (altered(config={"a": [[[[]]]]}), "does not have the hash"),
        (b'{"format":1,"config":' + b'{"a":' * 100_000, "not a manifest"),
        (encode(manifest()) + b"\n", "does not have the hash"),
        (altered(arrays={"w": {"dtype": "object", "shape": [], "sha256": "0" * 64}}), "dtype"),
        (altered(arrays={"w": {"dtype": "bool", "shape": [-1], "sha256": "0" * 64}}), "shape"),
        (altered(arrays={"w": {"dtype": "bool", "shape": [1] * 9, "sha256": "0" * 64}}), "shape"),
        (altered(arrays={"w": {"dtype": "bool", "shape": [], "sha256": "no"}}), "sha256"),
    ],
)
def test_damage_is_reported(data: bytes, message: str) -> None:
    with pytest.raises(Damaged, match=message):
        decode(data, "here")
