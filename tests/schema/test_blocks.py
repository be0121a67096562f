"""Blocks of events."""

from typing import Any

import pyarrow as pa
import pytest

from nearline.errors import InvalidInput
from nearline.schema import Event, EventBlock, StoredBlock
from nearline.testing.log_case import block, event

EVENTS = [event(f"u{n}", f"i{n}", f"e{n}" if n % 2 else None) for n in range(2_500)]
ONE = {"user_id": ["u"], "item_id": ["i"], "timestamp": [1.0], "event": ["view"]}


def test_a_block_is_the_sequence_of_its_events() -> None:
    whole = block(*EVENTS)
    assert len(whole) == 2_500
    assert list(whole) == EVENTS
    assert (whole[0], whole[-1], whole[1_234]) == (EVENTS[0], EVENTS[-1], EVENTS[1_234])
    assert list(whole[10:13]) == EVENTS[10:13]
    assert list(whole[-3:][1:]) == EVENTS[-2:]
    assert list(whole[5:2]) == []
    with pytest.raises(IndexError):
        whole[2_500]
    with pytest.raises(ValueError, match="step"):
        whole[::2]


def test_a_stored_block_counts_from_its_start() -> None:
    stored = StoredBlock(7, block(*EVENTS))
    assert stored[0] == (7, EVENTS[0])
    assert stored[-1] == (2_506, EVENTS[-1])
    assert list(stored[3:5]) == [(10, EVENTS[3]), (11, EVENTS[4])]
    assert stored[3:][1:].start == 11


def test_missing_columns_are_null() -> None:
    (one,) = EventBlock(pa.record_batch(ONE))
    assert one == Event(user_id="u", item_id="i", timestamp=1.0)


@pytest.mark.parametrize(
    ("columns", "reason"),
    [
        ({"user_id": [1]}, "column user_id of a block of events is of type int64"),
        ({"item_id": pa.array([None], pa.string())}, "item_id is missing in some row"),
        ({"colour": ["red"]}, "column colour of a block"),
        (
            {"user_id": pa.array([b"\xff"]).view(pa.string())},
            "cannot be stored: .*UTF8",
        ),
    ],
)
def test_unsupported_values_are_rejected(columns: dict[str, Any], reason: str) -> None:
    with pytest.raises(InvalidInput, match=reason):
        EventBlock(pa.record_batch(ONE | columns))


def test_a_required_column_must_be_there() -> None:
    with pytest.raises(InvalidInput, match="lacks the column event"):
        EventBlock(
            pa.record_batch({name: ONE[name] for name in ("user_id", "item_id", "timestamp")})
        )
