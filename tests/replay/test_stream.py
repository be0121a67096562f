import numpy as np
import pyarrow as pa
import pytest

from nearline.data import read_interactions
from nearline.replay import make_stream, spread
from nearline.schema import DAY, Item
from nearline.state import StateConfig

WEIGHT = StateConfig().weight


def table(*rows: tuple[str, str, float], kinds: str = "view") -> pa.Table:
    users, items, times = zip(*rows, strict=True)
    columns = {"user_id": users, "item_id": items, "timestamp": times, "event": [kinds] * len(rows)}
    return read_interactions(pa.table(columns))


def test_events_come_in_order_of_time_and_entries_with_the_first_event_of_their_item() -> None:
    rows = [("b", "y", 3.0), ("a", "x", 1.0), ("a", "y", 3.0), ("b", "x", 2.0), ("a", "x", 4.0)]
    items = [Item(item_id="y", title="late", timestamp=9.0), Item(item_id="z", timestamp=0.0)]
    stream = make_stream(table(*rows), items, WEIGHT)
    order = [(event.user_id, event.item_id) for event in stream.events]
    # Of one moment: the order of the table.
    assert order == [("a", "x"), ("b", "x"), ("b", "y"), ("a", "y"), ("a", "x")]
    assert stream.new.tolist() == [True, True, True, True, False]
    assert [entry.item_id if entry else None for entry in stream.entries] == [
        *(None, None, "y", None, None)
    ]
    assert stream.records(2, 4) == [items[0], stream.events[2], stream.events[3]]
    data = stream.dataset(3)
    assert (data.item_ids, data.n_interactions, data.texts) == (["x", "y"], 3, ["", "late"])
    assert stream.dataset(2).item_ids == ["x"]


def test_events_without_positive_weight_are_not_evaluated() -> None:
    stream = make_stream(table(("a", "x", 1.0), kinds="dislike"), [], WEIGHT)
    assert stream.new.tolist() == [False]


def test_positions_are_spread_evenly_for_each_user() -> None:
    rows = [("a", "x", 7.0), ("b", "x", 0.0), ("a", "y", 5.0), ("b", "y", 1.0), ("b", "z", 2.0)]
    times = spread(table(*rows), 6.0, np.random.default_rng(1))["timestamp"].to_numpy() / DAY
    a, b = np.random.default_rng(1).random(2)
    # a: two events, 3 days apart, "y" first; b: three, 2 days apart.
    assert times == pytest.approx([3 * (1 + a), 2 * b, 3 * a, 2 * (1 + b), 2 * (2 + b)])
