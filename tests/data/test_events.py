"""Keys that make a second import harmless."""

from typing import Any

import pyarrow as pa
from hypothesis import given, settings
from hypothesis import strategies as st

from nearline.data import event_ids, read_interactions, to_events
from nearline.log import SQLiteLog
from nearline.schema import Event


def table_of(users: list[str], **columns: Any) -> Any:
    source = {"user_id": users, "item_id": ["i"] * len(users), "timestamp": [5.0] * len(users)}
    return read_interactions(pa.table(source | columns))


def test_keys_tell_rows_apart_and_number_equal_ones() -> None:
    first, second, third, fourth = event_ids(table_of(["a", "b", "a", "a"])).to_pylist()
    assert len({first, second, third, fourth}) == 4
    assert len(first) == 32
    assert third == f"{first}-1"
    assert fourth == f"{first}-2"


def test_every_field_counts() -> None:
    plain = event_ids(table_of(["a"])).to_pylist()
    for other in (
        table_of(["a"], item_id=["j"]),
        table_of(["a"], timestamp=[6.0]),
        table_of(["a"], event=["buy"]),
        table_of(["a"], value=[0.0]),
    ):
        assert event_ids(other).to_pylist() != plain


def test_known_keys_are_used() -> None:
    table = table_of(["a", "b"], event_id=["mine", ""])
    keys = event_ids(table).to_pylist()
    assert keys[0] == "mine"
    assert keys[1] == event_ids(table_of(["x", "b"])).to_pylist()[1]


@given(users=st.lists(st.sampled_from("abc"), max_size=12), size=st.integers(1, 5))
@settings(max_examples=40, deadline=None)
def test_keys_are_distinct_and_chunks_are_the_whole(users: list[str], size: int) -> None:
    table = table_of(users)
    keys = event_ids(table).to_pylist()
    assert len(set(keys)) == len(users)
    chunks = list(to_events(table, size=size))
    assert all(len(chunk) <= size for chunk in chunks)
    events = [event for chunk in chunks for event in chunk]
    assert [event.user_id for event in events] == users
    assert [event.event_id for event in events] == keys


def test_events_carry_all_fields() -> None:
    table = table_of(["a"], event=["buy"], value=[2.5], session_id=["s"], event_id=["e"])
    assert list(to_events(table)) == [
        [
            Event(
                user_id="a",
                item_id="i",
                timestamp=5.0,
                event="buy",
                value=2.5,
                session_id="s",
                event_id="e",
            )
        ]
    ]


def test_a_log_stores_the_same_table_once() -> None:
    table = table_of(["a", "a", "b"])
    log = SQLiteLog(None)
    try:
        accepted = [
            log.append(chunk).result(10).accepted for _ in range(2) for chunk in to_events(table)
        ]
        assert accepted == [3, 0]
    finally:
        log.close()
