"""Keys of events, which make imports idempotent."""

from hashlib import blake2b
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


def test_keys_are_distinct_and_equal_rows_are_numbered() -> None:
    first, second, third, fourth = event_ids(table_of(["a", "b", "a", "a"])).to_pylist()
    assert len({first, second, third, fourth}) == 4
    assert len(first) == 32
    assert third == f"{first}-1"
    assert fourth == f"{first}-2"


def test_every_field_changes_the_key() -> None:
    plain = event_ids(table_of(["a"])).to_pylist()
    for other in (
        table_of(["a"], item_id=["j"]),
        table_of(["a"], timestamp=[6.0]),
        table_of(["a"], event=["buy"]),
        table_of(["a"], value=[0.0]),
    ):
        assert event_ids(other).to_pylist() != plain


def test_event_ids_of_the_table_are_used() -> None:
    table = table_of(["a", "b"], event_id=["mine", ""])
    keys = event_ids(table).to_pylist()
    assert keys[0] == "mine"
    assert keys[1] == event_ids(table_of(["x", "b"])).to_pylist()[1]


@given(users=st.lists(st.sampled_from("abc"), max_size=12), size=st.integers(1, 5))
@settings(max_examples=40, deadline=None)
def test_keys_are_distinct_and_blocks_contain_all_rows(users: list[str], size: int) -> None:
    table = table_of(users)
    keys = event_ids(table).to_pylist()
    assert len(set(keys)) == len(users)
    chunks = list(to_events(table, size=size))
    assert all(len(chunk) <= size for chunk in chunks)
    events = [event for chunk in chunks for event in chunk]
    assert [event.user_id for event in events] == users
    assert [event.event_id for event in events] == keys


def test_events_contain_all_fields() -> None:
    table = table_of(["a"], event=["buy"], value=[2.5], session_id=["s"], event_id=["e"])
    assert [list(block) for block in to_events(table)] == [
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


# Rows, and their keys in stores of earlier versions.
OLD_KEYS = [
    (("a", "i", 5.0, "view", None), "91fa5cabdd49896e242f35dc7b6d9e74"),
    (("jürgen", "x" * 200, 1.7e9 + 0.25, "purchase", 4.0), "211a43d3d6a0163a69b2b29a23172016"),
    (("b", "7", 0.0, "rating", -0.0), "2fd42c212d51dc033f41b29e3562f82e"),
    (("b", "7", 1e-7, "rating", 1e15), "00f9028e3f36911b9c902c07a54c3d91"),
]


def test_keys_are_those_of_older_stores() -> None:
    """Rows that an earlier version imported are not stored again."""
    names = ("user_id", "item_id", "timestamp", "event", "value")
    rows = [dict(zip(names, row, strict=True)) for row, _ in OLD_KEYS]
    table = read_interactions(pa.Table.from_pylist(rows), time_format="position")
    assert event_ids(table).to_pylist() == [key for _, key in OLD_KEYS]


@given(numbers=st.lists(st.none() | st.floats(allow_nan=False, allow_infinity=False), max_size=8))
@settings(max_examples=60, deadline=None)
def test_keys_cover_numbers_as_python_writes_them(numbers: list[float | None]) -> None:
    table = table_of(["a"] * len(numbers), value=pa.array(numbers, pa.float64()))
    digests = [
        blake2b(
            "\0".join(("a", "i", "5.0", "view", str(number))).encode(), digest_size=16
        ).hexdigest()
        for number in numbers
    ]
    assert [key[:32] for key in event_ids(table).to_pylist()] == digests


def test_keys_of_distinct_rows_are_computed_by_block() -> None:
    table = table_of(["a", "b", "c"])
    blocks = to_events(table, size=2, distinct=True)
    ids = [event.event_id for block in blocks for event in block]
    assert ids == event_ids(table).to_pylist()


def test_a_log_stores_the_same_table_once() -> None:
    table = table_of(["a", "a", "b"])
    log = SQLiteLog(None)
    try:
        accepted = [
            log.append(chunk).result(120).accepted for _ in range(2) for chunk in to_events(table)
        ]
        assert accepted == [3, 0]
    finally:
        log.close()
