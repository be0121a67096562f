"""The array file: round trips, and detection of damage."""

import hashlib
import json
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays_of
from safetensors.numpy import load_file, save

from nearline.errors import Damaged
from nearline.snapshots.arrays import (
    TAGS,
    Array,
    ArraySpec,
    canonical,
    describe,
    map_arrays,
    write_arrays,
)

STORED: dict[str, Array] = {
    "a": np.arange(6, dtype=np.int32).reshape(2, 3),
    "b": np.array([0.5, 1.5], dtype=np.float64),
    "c": np.array([True, False, True]),
}
SPECS = {name: describe(array) for name, array in STORED.items()}


def stored(folder: Path) -> Path:
    path = folder / "arrays.safetensors"
    write_arrays(path, STORED)
    return path


def test_round_trip_is_mapped_read_only_and_readable_by_the_library(tmp_path: Path) -> None:
    path = stored(tmp_path)
    mapped = map_arrays(path, SPECS)
    for name, array in STORED.items():
        np.testing.assert_array_equal(mapped[name], array)
        assert mapped[name].dtype == array.dtype
        assert mapped[name].flags.aligned
        assert not mapped[name].flags.owndata
        with pytest.raises(ValueError, match="read-only"):
            mapped[name][...] = 0
        np.testing.assert_array_equal(load_file(path)[name], array)


array_of_any_kind = st.sampled_from(sorted(TAGS)).flatmap(
    lambda dtype: arrays_of.arrays(
        dtype=dtype,
        shape=arrays_of.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=4),
        elements=(
            {"allow_nan": False, "allow_infinity": False} if dtype.startswith("float") else None
        ),
    )
)


@given(st.dictionaries(st.from_regex(r"[a-z][a-z.]{0,5}", fullmatch=True), array_of_any_kind))
@settings(max_examples=50, deadline=None)
def test_any_arrays_are_read_back_unchanged(given_arrays: dict[str, Array]) -> None:
    whole = {name: canonical(name, array) for name, array in given_arrays.items()}
    specs = {name: describe(array) for name, array in whole.items()}
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "arrays"
        write_arrays(path, whole)
        assert path.read_bytes() == save(whole)
        mapped = map_arrays(path, specs)
    assert mapped.keys() == given_arrays.keys()
    for name, array in given_arrays.items():
        assert mapped[name].dtype == array.dtype
        np.testing.assert_array_equal(mapped[name], array, strict=True)


def test_every_flipped_byte_is_detected(tmp_path: Path) -> None:
    path = stored(tmp_path)
    whole = path.read_bytes()
    for at in range(len(whole)):
        damaged = bytearray(whole)
        damaged[at] ^= 0x01
        path.write_bytes(damaged)
        with pytest.raises(Damaged, match=r"arrays\.safetensors"):
            map_arrays(path, SPECS)


def test_every_truncation_is_detected(tmp_path: Path) -> None:
    path = stored(tmp_path)
    whole = path.read_bytes()
    for size in range(len(whole)):
        path.write_bytes(whole[:size])
        with pytest.raises(Damaged):
            map_arrays(path, SPECS)
    path.write_bytes(whole + b"\0")
    with pytest.raises(Damaged, match="its header accounts for"):
        map_arrays(path, SPECS)


def test_missing_file_and_folder_in_its_place(tmp_path: Path) -> None:
    with pytest.raises(Damaged, match="cannot be read"):
        map_arrays(tmp_path / "nothing", SPECS)
    with pytest.raises(Damaged, match="cannot be read"):
        map_arrays(tmp_path, SPECS)


def with_header(path: Path, header: bytes | dict[str, Any], body: bytes) -> Path:
    data = header if isinstance(header, bytes) else json.dumps(header).encode()
    data += b" " * (-len(data) % 8)
    path.write_bytes(len(data).to_bytes(8, "little") + data + body)
    return path


def entry(dtype: str, shape: list[int], begin: int, end: int) -> dict[str, Any]:
    return {"dtype": dtype, "shape": shape, "data_offsets": [begin, end]}


TWO = {name: ArraySpec("int32", (1,), hashlib.sha256(bytes(4)).hexdigest()) for name in "ab"}


def test_a_header_written_by_hand_is_read(tmp_path: Path) -> None:
    header = {"b": entry("I32", [1], 0, 4), "a": entry("I32", [1], 4, 8)}
    assert map_arrays(with_header(tmp_path / "x", header, bytes(8)), TWO)["a"].tolist() == [0]


@pytest.mark.parametrize(
    ("a", "b", "message"),
    [
        (entry("I32", [1], 0, 4), entry("I32", [1], 0, 4), "array b claims"),  # overlap
        (entry("I32", [1], 0, 4), entry("I32", [1], 2, 6), "array b claims"),  # partial overlap
        (entry("I32", [1], 0, 4), entry("I32", [1], 8, 12), "array b claims"),  # gap, beyond end
        (entry("I32", [1], -4, 0), entry("I32", [1], 0, 4), "array a claims"),
        (entry("I32", [1], 4, 0), entry("I32", [1], 0, 4), "array a claims|array b claims"),
        (entry("I32", [1], 0, 4), entry("I32", [1], 4, 2**63), "array b claims"),
        (entry("I32", [2], 0, 8), entry("I32", [1], 0, 4), "array a is I32|array b claims"),
        (entry("I32", [1, 1], 0, 4), entry("I32", [1], 4, 8), "array a is I32 .1, 1."),
        (entry("F32", [1], 0, 4), entry("I32", [1], 4, 8), "array a is F32"),
        (entry("V32", [1], 0, 4), entry("I32", [1], 4, 8), "array a is V32"),
        (entry("I32", [-1], 0, 4), entry("I32", [1], 4, 8), "array a is"),
    ],
)
def test_wrong_offsets_are_rejected(
    tmp_path: Path, a: dict[str, Any], b: dict[str, Any], message: str
) -> None:
    path = with_header(tmp_path / "x", {"a": a, "b": b}, bytes(8))
    with pytest.raises(Damaged, match=message):
        map_arrays(path, TWO)


@pytest.mark.parametrize(
    ("header", "message"),
    [
        ({"a": entry("I32", [1], 0, 4)}, r"arrays missing: \['b'\]"),
        ({n: entry("I32", [1], 0, 4) for n in "abc"}, r"not in the manifest: \['c'\]"),
        ({"a": 1, "b": 2}, "not one of safetensors"),
        (b'{"a":' * 100_000, "not one of safetensors"),
        (b"[" * 100_000, "not one of safetensors"),
        (b"\xff\xff", "not one of safetensors"),
        (b"", "not one of safetensors"),
    ],
)
def test_invalid_headers_are_rejected(
    tmp_path: Path, header: bytes | dict[str, Any], message: str
) -> None:
    with pytest.raises(Damaged, match=message):
        map_arrays(with_header(tmp_path / "x", header, bytes(8)), TWO)


@pytest.mark.parametrize("length", [2**64 - 1, 2**40, 9])
def test_a_header_longer_than_the_file_is_rejected_unread(tmp_path: Path, length: int) -> None:
    path = tmp_path / "x"
    path.write_bytes(length.to_bytes(8, "little") + b"{}      ")
    with pytest.raises(Damaged, match="its header claims"):
        map_arrays(path, {})


def test_unaligned_arrays_are_rejected(tmp_path: Path) -> None:
    specs = {
        "a": ArraySpec("uint8", (1,), hashlib.sha256(bytes(1)).hexdigest()),
        "b": TWO["b"],
    }
    header = {"a": entry("U8", [1], 0, 1), "b": entry("I32", [1], 1, 5)}
    with pytest.raises(Damaged, match="array b is not aligned"):
        map_arrays(with_header(tmp_path / "x", header, bytes(5)), specs)


def test_nan_with_a_correct_hash_is_rejected(tmp_path: Path) -> None:
    poisoned = {"w": np.array([1.0, np.nan], dtype=np.float32)}
    path = tmp_path / "x"
    path.write_bytes(save(poisoned))
    with pytest.raises(Damaged, match="array w holds a value that is not finite"):
        map_arrays(path, {"w": describe(poisoned["w"])})
