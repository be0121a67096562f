import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nearline.kernels.sorting import SHORT, sort_items


@settings(deadline=None)
@given(st.lists(st.integers(-50, 50), max_size=200), st.integers(0, 5))
def test_the_first_entries_are_sorted(entries: list[int], rest: int) -> None:
    items = np.array(entries, dtype=np.int32)
    size = max(0, len(items) - rest)
    sort_items(items, size)
    assert items.tolist() == [*sorted(entries[:size]), *entries[size:]]


@pytest.mark.parametrize("size", [0, 1, SHORT, SHORT + 1, SHORT + 2, 1_000])
@pytest.mark.parametrize("kind", ["rising", "falling", "equal", "halves"])
def test_orders_that_are_bad_for_quicksort(size: int, kind: str) -> None:
    rising = np.arange(size, dtype=np.int32)
    items = {
        "rising": rising,
        "falling": rising[::-1].copy(),
        "equal": rising * 0,
        "halves": np.concatenate((rising[::2], rising[1::2][::-1])),
    }[kind]
    expected = np.sort(items)
    sort_items(items, size)
    assert items.tolist() == expected.tolist()
