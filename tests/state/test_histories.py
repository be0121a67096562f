import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nearline.state.histories import HistoryStore, UserHistory

Event = tuple[int, int, float]


def append(histories: HistoryStore, events: list[Event], slots: int = 3) -> None:
    users, items, times = zip(*events, strict=True) if events else ((), (), ())
    histories.append(
        np.array(users, dtype=np.int64),
        np.array(items, dtype=np.int32),
        np.ones(len(users), dtype=np.float32),
        np.array(times, dtype=np.float64),
        slots,
    )


def test_rows_of_known_and_unknown_users() -> None:
    histories = HistoryStore(10)
    append(histories, [(0, 5, 1.0), (2, 6, 2.0), (0, 7, 0.5)])
    rows = histories.rows(np.array([2, -1, 0]))
    assert rows.indptr.tolist() == [0, 1, 1, 3]
    assert rows.items.tolist() == [6, 7, 5]
    assert rows.times.tolist() == [2.0, 0.5, 1.0]
    assert rows.weights.tolist() == [1.0, 1.0, 1.0]
    assert histories.row(1).items.tolist() == []


def test_a_row_is_a_copy() -> None:
    histories = HistoryStore(10)
    append(histories, [(0, 5, 1.0)])
    before = histories.row(0)
    append(histories, [(0, 6, 0.0)])
    assert before.items.tolist() == [5]
    assert histories.row(0).items.tolist() == [6, 5]


def test_a_removed_user_leaves_no_trace_in_memory() -> None:
    histories = HistoryStore(10)
    append(histories, [(1, 99, 99.0), *((0, 40 + n, 70.0 + n) for n in range(9))])
    histories.remove(0)
    assert histories.row(0).items.tolist() == []
    regions, items, weights, times, _ = histories.copy(3)
    end = regions[1, 0] + 1  # the other user's only event, first in its region
    assert items.sum() == items[end - 1] == 99
    assert not weights[end:].any()
    # Free regions contain the links of their lists: starts of regions, and -1.
    assert max(times[end:]) < 70.0


def test_freed_memory_is_reused() -> None:
    histories = HistoryStore(100)
    append(histories, [(0, item, float(item)) for item in range(100)])
    used = len(histories.copy(3).items)
    for _ in range(5):
        histories.remove(0)
        append(histories, [(0, item, float(item)) for item in range(100)])
    assert len(histories.copy(3).items) == used


@pytest.mark.parametrize("bound", [1, 4, 6])
@given(
    before=st.lists(st.tuples(st.integers(0, 2), st.integers(0, 9), st.integers(0, 5).map(float))),
    after=st.lists(st.tuples(st.integers(0, 2), st.integers(0, 9), st.integers(0, 5).map(float))),
)
@settings(max_examples=40, deadline=None)
def test_rebuilt_histories_continue_equally(
    bound: int, before: list[Event], after: list[Event]
) -> None:
    histories = HistoryStore(bound)
    append(histories, before)
    copy = histories.copy(3)
    again = HistoryStore.from_rows(bound, copy.rows(), copy.arrived(), copy.opposed)
    for both in (histories, again):
        append(both, after)
    for user in range(3):
        mine, theirs = histories.row(user), again.row(user)
        for name in UserHistory._fields:
            assert np.array_equal(getattr(mine, name), getattr(theirs, name))
