"""Item ids as arrays."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from nearline.errors import Damaged
from nearline.snapshots.item_ids import BYTES, STARTS, pack, unpack


def test_layout() -> None:
    arrays = pack(["a", "éa", ""])
    assert arrays[BYTES].tobytes() == "aéa".encode()
    assert arrays[STARTS].tolist() == [0, 1, 4, 4]
    assert arrays[STARTS].dtype == np.int64


@given(st.lists(st.text(st.characters(codec="utf-8")), unique=True))
@settings(max_examples=50, deadline=None)
def test_round_trip(ids: list[str]) -> None:
    assert unpack(pack(ids), len(ids)) == ids


@pytest.mark.parametrize(
    ("data", "starts", "message"),
    [
        (b"ab", [0, 1, 3], "do not cut into 2 ids"),
        (b"ab", [1, 1, 2], "do not cut"),
        (b"ab", [0, 3, 2], "do not cut"),
        (b"ab", [0, 2], "do not cut"),
        ("é".encode(), [0, 1, 2], "not UTF-8"),
        (b"aa", [0, 1, 2], "twice"),
    ],
)
def test_arrays_that_do_not_decode_to_ids_are_damaged(
    data: bytes, starts: list[int], message: str
) -> None:
    arrays: dict[str, NDArray[Any]] = {
        BYTES: np.frombuffer(data, dtype=np.uint8),
        STARTS: np.array(starts, dtype=np.int64),
    }
    with pytest.raises(Damaged, match=message):
        unpack(arrays, 2)


def test_wrong_dtypes_are_damaged() -> None:
    arrays = pack(["a"])
    with pytest.raises(Damaged, match="do not cut"):
        unpack({BYTES: arrays[BYTES].astype(np.int32), STARTS: arrays[STARTS]}, 1)
    with pytest.raises(Damaged, match="do not cut"):
        unpack({BYTES: arrays[BYTES], STARTS: arrays[STARTS].astype(np.int32)}, 1)
