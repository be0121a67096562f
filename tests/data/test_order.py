"""Order of interactions: times, positions, or none, where the order of rows is irrelevant."""

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest

import nearline as nl
from nearline.data import hold_out, make_dataset, read_interactions, set_split
from nearline.data.order import in_own_order, order_of

CLOCK = 1.7e9


def interactions(n_users: int = 30, per_user: int = 8, seed: int = 0) -> pa.Table:
    """A table without times, in which each user has distinct items out of 40."""
    rng = np.random.default_rng(seed)
    items = [item for _ in range(n_users) for item in rng.permutation(40)[:per_user]]
    users = np.repeat(np.arange(n_users), per_user)
    return pa.table({"user_id": [f"u{u}" for u in users], "item_id": [f"i{i}" for i in items]})


def shuffled(table: pa.Table, seed: int) -> pa.Table:
    return table.take(pa.array(np.random.default_rng(seed).permutation(table.num_rows)))


@pytest.mark.parametrize(
    ("users", "times", "expected"),
    [
        ([0, 0, 1, 1], [CLOCK, CLOCK + 1, CLOCK, CLOCK + 1], "times"),
        ([0, 0, 1, 1], [0, 1, 0, 1], "positions"),
        ([0, 0, 1, 1], [CLOCK, CLOCK, CLOCK + 1, CLOCK + 1], "none"),
        ([0, 0, 1, 1], [0, 0, 0, 0], "none"),
        # Users with one interaction do not count.
        ([0, 0, 1, 2], [CLOCK, CLOCK, CLOCK + 1, CLOCK + 2], "none"),
        ([0, 1, 2], [CLOCK, CLOCK + 1, CLOCK + 2], "times"),
        ([0, 1], [CLOCK, CLOCK], "times"),
        ([0, 1], [0, 0], "none"),
        # One user in five is enough; one in six is not.
        ([0, 0, 1, 1, 2, 2, 3, 3, 4, 4], [0, 1] + 8 * [0], "positions"),
        ([0, 0, 1, 1, 2, 2, 3, 3, 4, 4, 5, 5], [0, 1] + 10 * [0], "none"),
        # Interleaved users.
        ([0, 1, 0, 1], [0, 1, 0, 1], "none"),
    ],
)
def test_order(users: list[int], times: list[float], expected: str) -> None:
    assert order_of(np.array(users), np.array(times, dtype=np.float64)) == expected


def test_without_times_any_order_of_the_rows_gives_the_same_dataset() -> None:
    table = interactions()
    one, other = (make_dataset(read_interactions(shuffled(table, seed))) for seed in (1, 2))
    assert one.order == "none"
    assert one.user_ids == other.user_ids
    assert one.item_ids == other.item_ids
    for name in ("indptr", "items", "weights", "times"):
        assert np.array_equal(getattr(one.histories, name), getattr(other.histories, name))


def test_equal_times_are_no_order() -> None:
    table = interactions().append_column("timestamp", pa.array(np.full(240, CLOCK)))
    one, other = (
        make_dataset(in_own_order(read_interactions(shuffled(table, seed)))) for seed in (1, 2)
    )
    assert one.order == "none"
    assert np.array_equal(one.histories.items, other.histories.items)
    assert set(one.histories.times) == {CLOCK}


def test_positions_are_an_order() -> None:
    table = interactions().append_column("position", pa.array(list(range(8)) * 30))
    read = read_interactions(table, {"timestamp": "position"})
    data = make_dataset(read)
    assert data.order == "positions"
    first = [item for user, item in zip(*table.columns[:2], strict=True) if user.as_py() == "u0"]
    assert [data.item_ids[i] for i in data.histories.row(0)] == [item.as_py() for item in first]


def test_tables_with_an_order_keep_their_rows() -> None:
    table = read_interactions(
        pa.table(
            {"user_id": list("abab"), "item_id": list("zxyx"), "timestamp": [4e8, 4e8, 5e8, 6e8]}
        )
    )
    assert in_own_order(table)["item_id"].to_pylist() == list("zxyx")


def test_a_part_of_a_sorted_table_keeps_its_rows() -> None:
    table = in_own_order(read_interactions(interactions()))
    part = in_own_order(table.slice(17, 50))
    assert part["item_id"].to_pylist() == table["item_id"].to_pylist()[17:67]


def test_sets_are_split_by_hash() -> None:
    table = interactions()
    one, other = (make_dataset(read_interactions(shuffled(table, seed))) for seed in (1, 2))
    held, same = set_split(one, 0.25), set_split(other, 0.25)
    assert np.diff(held.test.indptr).tolist() == [2] * 30
    assert np.array_equal(held.test.items, same.test.items)
    # Those of a user do not depend on the other users.
    alone = make_dataset(read_interactions(table.filter(pc.equal(table["user_id"], "u3"))))
    mine = {alone.item_ids[i] for i in set_split(alone, 0.25).test.items}
    assert mine == {one.item_ids[i] for i in held.test.row(one.user_ids.index("u3"))}


def test_repeated_items_are_held_out_together() -> None:
    table = pa.table({"user_id": ["a"] * 6, "item_id": ["x", "y", "x", "y", "x", "y"]})
    split = set_split(make_dataset(read_interactions(table)), 0.1)
    assert len(set(split.test.items)) == 1
    assert len(split.test.items) == 3
    assert not set(split.test.items) & set(split.train.histories.items)


def test_parts_of_a_dataset_keep_its_order() -> None:
    data = make_dataset(read_interactions(interactions()))
    nothing = np.zeros(data.n_interactions, dtype=np.bool_)
    assert hold_out(data, nothing).train.order == "none"


@pytest.mark.parametrize("timed", [False, True])
def test_any_order_of_the_rows_gives_the_same_lists(timed: bool) -> None:
    table = interactions(60)
    if timed:
        table = table.append_column("timestamp", pa.array(np.full(table.num_rows, CLOCK)))
    lists = []
    for seed in (1, 2):
        with nl.Recommender(clock=lambda: CLOCK) as rec:
            rec.fit(shuffled(table, seed))
            found = rec.recommend_many(sorted(set(table["user_id"].to_pylist())), k=5)
            lists.append((rec.model_id, found.to_pydict()))
    assert lists[0] == lists[1]


def test_an_import_says_that_there_is_no_order() -> None:
    with nl.Recommender(clock=lambda: CLOCK) as rec:
        report = rec.add(interactions())
    assert report is not None
    assert report.times is not None
    assert report.times.order == "none"
    assert "a set without an order" in str(report)
