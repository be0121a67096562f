"""Dataset and Histories, compared with values computed by hand."""

from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.state.naive_state import FEW, holding

from nearline.data import Dataset, Histories, make_dataset
from nearline.data.splits import hold_out
from nearline.kernels import counted_events
from nearline.kernels.counted_events import CountedLimits


def small() -> Dataset:
    """Return histories u0: a b a; u1: none; u2: c; u3: none. Item d is new."""
    histories = Histories.from_rows([[0, 1, 0], [], [2], []])
    values = np.array([1, 2, 3, 4], dtype=np.float32)
    return Dataset(["u0", "u1", "u2", "u3"], ["a", "b", "c", "d"], histories, values)


def test_sizes_and_users() -> None:
    data = small()
    assert (data.n_users, data.n_items, data.n_interactions) == (4, 4, 4)
    assert data.user_of_each().tolist() == [0, 0, 0, 2]
    assert len(data.histories) == 4


def test_rows() -> None:
    histories = small().histories
    assert histories.row(0).tolist() == [0, 1, 0]
    assert histories.row(1).tolist() == []
    assert histories.times.tolist() == [0, 1, 2, 0]
    assert histories.weights.tolist() == [1, 1, 1, 1]


def test_matrix_counts() -> None:
    expected = [[2, 1, 0, 0], [0, 0, 0, 0], [0, 0, 1, 0], [0, 0, 0, 0]]
    assert small().matrix().toarray().tolist() == expected


def test_matrix_of_values_takes_the_last_of_a_pair() -> None:
    expected = [[3, 2, 0, 0], [0, 0, 0, 0], [0, 0, 4, 0], [0, 0, 0, 0]]
    assert small().matrix(values=True).toarray().tolist() == expected


def test_take_keeps_users_and_items() -> None:
    kept = small().take(np.array([False, True, True, False]))
    assert kept.histories.indptr.tolist() == [0, 2, 2, 2, 2]
    assert kept.histories.items.tolist() == [1, 0]
    assert kept.histories.times.tolist() == [1, 2]
    assert kept.values.tolist() == [2, 3]
    assert (kept.n_users, kept.n_items) == (4, 4)


def test_take_without_interactions() -> None:
    empty = small().take(np.zeros(4, dtype=np.bool_))
    assert empty.histories.indptr.tolist() == [0, 0, 0, 0, 0]
    assert empty.matrix().nnz == 0
    assert empty.matrix(values=True).nnz == 0


def test_no_users_at_all() -> None:
    data = Dataset([], [], Histories.from_rows([]), np.zeros(0, dtype=np.float32))
    assert data.take(np.zeros(0, dtype=np.bool_)).n_interactions == 0
    assert data.matrix().shape == (0, 0)
    assert len(data.histories.select(np.zeros(0, dtype=np.int64))) == 0


def test_select_in_any_order_and_twice() -> None:
    chosen = small().histories.select(np.array([2, 1, 0, 2]))
    assert [chosen.row(row).tolist() for row in range(4)] == [[2], [], [0, 1, 0], [2]]
    assert chosen.times.tolist() == [0, 0, 1, 2, 0]


Rows = st.lists(st.lists(st.integers(0, 5), max_size=5), max_size=6)


@given(rows=Rows, draw=st.data())
@settings(max_examples=60, deadline=None)
def test_take_is_a_filter_of_each_row(rows: list[list[int]], draw: st.DataObject) -> None:
    histories = Histories.from_rows(rows)
    n = len(histories.items)
    keep = draw.draw(st.lists(st.booleans(), min_size=n, max_size=n))
    users = [f"u{row}" for row in range(len(rows))]
    data = Dataset(users, list("abcdef"), histories, np.arange(n, dtype=np.float32))
    kept = data.take(np.array(keep, dtype=np.bool_))
    flags = iter(keep)
    expected = [[item for item in row if next(flags)] for row in rows]
    assert [kept.histories.row(row).tolist() for row in range(len(rows))] == expected
    assert kept.values.tolist() == [place for place, flag in enumerate(keep) if flag]


@given(rows=Rows.filter(bool), draw=st.data())
@settings(max_examples=60, deadline=None)
def test_select_is_a_list_of_rows(rows: list[list[int]], draw: st.DataObject) -> None:
    chosen = draw.draw(st.lists(st.integers(0, len(rows) - 1), max_size=8))
    selected = Histories.from_rows(rows).select(np.array(chosen, dtype=np.int64))
    assert [selected.row(place).tolist() for place in range(len(chosen))] == [
        rows[row] for row in chosen
    ]


def test_rated_keeps_the_newest_rating_of_a_pair() -> None:
    histories = Histories.from_rows([[0, 1, 0, 2], [1]])
    values = np.array([1, 2, 3, np.nan, 4], dtype=np.float32)
    rated = Dataset(["a", "b"], ["x", "y", "z"], histories, values).rated()
    assert rated.histories.indptr.tolist() == [0, 2, 3]
    assert rated.histories.items.tolist() == [1, 0, 1]
    assert rated.histories.weights.tolist() == rated.values.tolist() == [2.0, 3.0, 4.0]


def test_unknown_items_do_not_replace_known_ones() -> None:
    # As a number, item -1 of user b comes right before item x of b: that is z of a.
    histories = Histories.from_rows([[2, 0], [-1, 1, -1]])
    values = np.array([5, 4, 1, 2, 3], dtype=np.float32)
    data = Dataset(["a", "b"], ["x", "y", "z"], histories, values)
    rated = data.rated()
    assert rated.histories.indptr.tolist() == [0, 2, 3]
    assert rated.histories.items.tolist() == [2, 0, 1]
    assert rated.values.tolist() == [5, 4, 2]
    assert data.matrix().toarray().tolist() == [[1, 0, 1], [0, 1, 0]]
    assert data.matrix(values=True).toarray().tolist() == [[4, 0, 5], [0, 2, 0]]


RATED_EVENTS = st.tuples(
    st.sampled_from("uvw"),
    st.sampled_from("abc"),
    st.integers(0, 5),
    st.sampled_from(["view", "purchase", "dislike"]),
)


@given(events=st.lists(RATED_EVENTS, min_size=1, max_size=25), limits=FEW)
@settings(deadline=None)
def test_opinions_apply_to_all_interactions_and_to_those_that_count(
    events: list[tuple[str, str, int, str]], limits: CountedLimits
) -> None:
    """The events that count, in order of arrival, are chosen before those that are superseded."""
    users, items, times, kinds = zip(*events, strict=True)
    table = pa.table(
        {
            "user_id": users,
            "item_id": items,
            "timestamp": pa.array(times, pa.float64()),
            "event": kinds,
            "value": pa.nulls(len(events), pa.float64()),
        }
    )
    weight = {"view": 1.0, "purchase": 3.0, "dislike": -1.0}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(counted_events, "LIMITS", limits)
        data = make_dataset(table, weight=weight.__getitem__)
    whole: dict[str, list[tuple[float, int, str, float]]] = {user: [] for user in data.user_ids}
    first: dict[str, list[tuple[float, int, str, float]]] = {user: [] for user in data.user_ids}
    for at, (user, item, time, kind) in enumerate(events):
        same = [event for event in whole[user] if event[2] == item]
        if len(whole[user]) < limits.events and len(same) < limits.repeats:
            first[user].append((float(time), at, item, weight[kind]))
        whole[user].append((float(time), at, item, weight[kind]))

    def rows(found: Histories) -> list[tuple[str, float, float]]:
        names = [data.item_ids[item] for item in found.items]
        return list(zip(names, found.weights.tolist(), found.times.tolist(), strict=True))

    def expected(of: dict[str, list[tuple[float, int, str, float]]]) -> list[tuple[Any, ...]]:
        kept = [holding(sorted(of[user])) for user in data.user_ids]
        return [(item, amount, time) for row in kept for time, _, item, amount in row]

    remaining = data.without_superseded()
    assert rows(data.counted_histories.without_superseded()) == expected(first)
    assert rows(remaining.counted_histories) == expected(first)
    assert rows(remaining.histories) == expected(whole)
    assert rows(
        hold_out(data, np.zeros(len(events), np.bool_)).train.counted_histories
    ) == expected(first)
    assert (
        rows(remaining.take(np.zeros(remaining.n_interactions, np.bool_)).counted_histories) == []
    )
