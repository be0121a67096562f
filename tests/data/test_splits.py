"""Splits: partition, sizes, order in time, seeds."""

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nearline.data import (
    Dataset,
    Histories,
    Split,
    cold_items,
    cold_users,
    leave_one_out,
    random_folds,
    random_split,
    stratified_split,
    time_split,
    user_time_split,
)
from nearline.errors import InvalidInput

ITEMS = list("abcdefgh")


def dataset(rows: list[list[int]], times: list[float] | None = None) -> Dataset:
    histories = Histories.from_rows(rows)
    if times is not None:
        histories = Histories(
            histories.indptr, histories.items, histories.weights, np.array(times, dtype=np.float64)
        )
    values = np.arange(len(histories.items), dtype=np.float32)
    return Dataset([f"u{row}" for row in range(len(rows))], ITEMS, histories, values)


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def rows_of(histories: Histories) -> list[list[int]]:
    return [histories.row(user).tolist() for user in range(len(histories))]


SPLITS: dict[str, Callable[[Dataset, np.random.Generator], Split]] = {
    "leave one out": lambda data, _: leave_one_out(data),
    "random": lambda data, chance: random_split(data, 0.3, chance),
    "stratified": lambda data, chance: stratified_split(data, 0.3, chance),
    "user time": lambda data, _: user_time_split(data, 0.3),
    "time": lambda data, _: time_split(data, 0.3),
    "cold items": lambda data, chance: cold_items(data, 0.3, chance),
    "cold users": lambda data, chance: cold_users(data, 0.3, chance),
}


def test_leave_one_out_keeps_single_interactions() -> None:
    split = leave_one_out(dataset([[0, 1, 2], [3], [], [4, 5]]))
    assert rows_of(split.train.histories) == [[0, 1], [3], [], [4]]
    assert rows_of(split.test) == [[2], [], [], [5]]


def test_the_strict_protocol_is_leave_one_out_twice() -> None:
    outer = leave_one_out(dataset([[0, 1, 2, 3], [4, 5]]))
    inner = leave_one_out(outer.train)
    assert rows_of(inner.train.histories) == [[0, 1], [4]]
    assert rows_of(inner.test) == [[2], []]
    assert rows_of(outer.test) == [[3], [5]]


def test_user_time_takes_the_newest_quarter() -> None:
    # 8 keep 6, 4 keep 3, 3 keep round(2.25) = 2, 2 keep round(1.5) = 2, 1 keeps 1.
    split = user_time_split(dataset([list(range(8)), [0, 1, 2, 3], [0, 1, 2], [0, 1], [0]]), 0.25)
    assert rows_of(split.test) == [[6, 7], [3], [2], [], []]


def test_stratified_takes_the_same_share_of_each_user() -> None:
    data = dataset([list(range(8))] * 50)
    split = stratified_split(data, 0.25, rng())
    assert np.diff(split.test.indptr).tolist() == [2] * 50
    assert len({tuple(row) for row in rows_of(split.test)}) > 5
    assert all(row == sorted(row) for row in rows_of(split.test))  # time order is kept


def test_random_takes_the_exact_share() -> None:
    split = random_split(dataset([list(range(8))] * 5), 0.25, rng())
    assert len(split.test.items) == 10


def test_time_splits_all_users_at_the_same_time() -> None:
    data = dataset([[0, 1, 2], [3, 4]], [1, 5, 9, 2, 8])
    split = time_split(data, 0.4)
    assert rows_of(split.train.histories) == [[0, 1], [3]]
    assert rows_of(split.test) == [[2], [4]]


def test_interactions_at_the_split_time_are_in_the_training_part() -> None:
    assert len(time_split(dataset([[0, 1, 2]], [7, 7, 7]), 0.5).test.items) == 0


def test_a_dataset_without_interactions() -> None:
    for split in SPLITS.values():
        assert len(split(dataset([[], []]), rng()).test) == 2


def test_all_interactions_of_cold_items_and_users_are_held_out() -> None:
    data = dataset([[0, 1, 2, 3], [0, 1], [2, 3], [3]])
    items = cold_items(data, 0.5, rng())
    cold = set(items.test.items.tolist())
    assert len(cold) == 2
    assert not cold & set(items.train.histories.items.tolist())
    users = cold_users(data, 0.5, rng())
    sizes = np.diff(users.test.indptr)
    assert np.count_nonzero(sizes) == 2
    assert ((sizes == 0) | (np.diff(users.train.histories.indptr) == 0)).all()


SHARES: dict[str, Callable[[Dataset, float], Split]] = {
    "random": lambda data, fraction: random_split(data, fraction, rng()),
    "stratified": lambda data, fraction: stratified_split(data, fraction, rng()),
    "user time": user_time_split,
    "time": time_split,
    "cold items": lambda data, fraction: cold_items(data, fraction, rng()),
    "cold users": lambda data, fraction: cold_users(data, fraction, rng()),
}


@pytest.mark.parametrize("name", SHARES)
@pytest.mark.parametrize("fraction", [0.0, 1.0, -0.1, 25.0, float("nan")])
def test_invalid_fractions_are_refused(name: str, fraction: float) -> None:
    with pytest.raises(InvalidInput, match="between 0 and 1"):
        SHARES[name](dataset([[0, 1]]), fraction)


Timed = st.lists(st.lists(st.integers(0, 9), max_size=7).map(sorted), min_size=1, max_size=6)


def test_every_interaction_is_held_out_by_one_fold() -> None:
    data = dataset([[0, 1, 2], [3, 4], [5, 6]])
    folds = list(random_folds(data, 3, rng(0)))
    assert sorted(len(fold.test.items) for fold in folds) == [2, 2, 3]
    held_out = np.concatenate([fold.test.items for fold in folds])
    assert sorted(held_out.tolist()) == list(range(7))
    for fold in folds:
        assert fold.train.n_interactions + len(fold.test.items) == 7
    for wrong in (1, 8):
        with pytest.raises(InvalidInput, match=f"folds is {wrong}"):
            next(random_folds(data, wrong, rng(0)))


@pytest.mark.parametrize("name", SPLITS)
@given(moments=Timed, seed=st.integers(0, 99))
@settings(max_examples=40, deadline=None)
def test_every_split_is_a_partition_and_repeats_with_its_seed(
    name: str, moments: list[list[int]], seed: int
) -> None:
    flat = [float(moment) for row in moments for moment in row]
    data = dataset([[place % 8 for place in range(len(row))] for row in moments], flat)
    split = SPLITS[name](data, rng(seed))
    for user in range(data.n_users):
        kept, held = split.train.histories.row(user).tolist(), split.test.row(user).tolist()
        assert sorted(kept + held) == sorted(data.histories.row(user).tolist())
    assert (split.train.user_ids, split.train.item_ids) == (data.user_ids, data.item_ids)
    again = SPLITS[name](data, rng(seed))
    np.testing.assert_array_equal(split.test.items, again.test.items)
    np.testing.assert_array_equal(split.train.values, again.train.values)


@given(moments=Timed, fraction=st.floats(0.05, 0.95))
@settings(max_examples=60, deadline=None)
def test_training_never_sees_the_future(moments: list[list[int]], fraction: float) -> None:
    flat = [float(moment) for row in moments for moment in row]
    data = dataset([[0] * len(row) for row in moments], flat)
    whole = time_split(data, fraction)
    if len(whole.test.times) and len(whole.train.histories.times):
        assert whole.train.histories.times.max() < whole.test.times.min()
    own = user_time_split(data, fraction)
    for user in range(data.n_users):
        first, last = own.train.histories.indptr[user : user + 2]
        start, stop = own.test.indptr[user : user + 2]
        if first < last and start < stop:
            assert own.train.histories.times[last - 1] <= own.test.times[start]
