"""Times that only damaged records have are not counted, and touch no memory outside the arrays."""

import numpy as np
import pytest

from nearline.kernels.recent_counts import NEVER, count_recent


@pytest.mark.parametrize("time", [np.nan, np.inf, -np.inf, 1e300, -1e300])
def test_times_that_are_no_times_are_not_counted(time: float) -> None:
    half_lives = np.array([86_400.0, 1e-3])
    newest, totals = np.full(2, NEVER), np.zeros((2, 2), dtype=np.int64)
    cells, sums = np.zeros((2, 3, 2), dtype=np.int64), np.zeros((3, 2))
    items, weights = np.zeros(2, dtype=np.int32), np.ones(2, dtype=np.float32)
    times = np.array([1.7e9, time])
    count_recent(items, times, weights, 1, half_lives, newest, cells, totals, sums)
    alone = cells.copy()
    count_recent(items[1:], times[1:], weights[1:], 1, half_lives, newest, cells, totals, sums)
    assert (cells == alone).all()
    assert (totals == cells.sum(axis=1)).all()
    assert cells[:, 0].sum(axis=0).all()
    count_recent(items[:1], times[:1], weights[:1], -1, half_lives, newest, cells, totals, sums)
    assert not cells.any()
