"""What was there before the last arrivals, against lists that say so themselves."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.kernels.test_edges import ragged

from nearline.kernels.history_split import came_before

# (user, time) in order of arrival; times collide and run backwards.
LOG = st.lists(st.tuples(st.integers(0, 2), st.integers(0, 4)), max_size=20)


def test_by_hand() -> None:
    # Of two events at time 5 the first was there; so was the one at 7.
    before = came_before(
        np.array([0, 3]), np.array([5.0, 5.0, 7.0]), np.array([0, 1]), np.array([5.0])
    )
    assert before.tolist() == [True, False, True]


@settings(deadline=None)
@given(LOG, st.integers(0, 20))
def test_the_newest_arrivals_are_identified(log: list[tuple[int, int]], cut: int) -> None:
    arrived = [(user, time, at >= cut) for at, (user, time) in enumerate(log)]
    mine = [[event for event in arrived if event[0] == user] for user in range(3)]
    rows = [sorted(events, key=lambda event: event[1]) for events in mine]
    new = [[event for event in events if event[2]] for events in mine]
    indptr = ragged([[0] * len(row) for row in rows]).indptr
    new_indptr = ragged([[0] * len(row) for row in new]).indptr
    times = np.array([float(event[1]) for row in rows for event in row])
    new_times = np.array([float(event[1]) for row in new for event in row])
    found = came_before(indptr, times, new_indptr, new_times)
    assert found.tolist() == [not event[2] for row in rows for event in row]
