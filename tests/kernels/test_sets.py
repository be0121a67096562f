"""Sets, their transpose, and the order in which rows are dealt out."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nearline.kernels.chunks import MOST_CHUNKS
from nearline.kernels.edges import Rows
from nearline.kernels.sets import Sets, dealt, newest, transpose, undealt

ROWS = st.lists(st.lists(st.integers(-1, 5), max_size=8), max_size=6)


def ragged(rows: list[list[int]]) -> Sets:
    indptr = np.cumsum([0, *map(len, rows)]).astype(np.int64)
    return Sets(indptr, np.array([item for row in rows for item in row], dtype=np.int32))


def as_lists(sets: Sets) -> list[list[int]]:
    bounds = zip(sets.indptr[:-1], sets.indptr[1:], strict=True)
    return [sets.items[first:last].tolist() for first, last in bounds]


def test_transpose_by_hand() -> None:
    assert as_lists(transpose(ragged([[2, 0], [], [2]]), 4)) == [[0], [], [0, 2], []]
    with pytest.raises(ValueError, match="index 2 is not below 2"):
        transpose(ragged([[2]]), 2)


@settings(deadline=None, max_examples=50)
@given(ROWS)
def test_transposing_twice_sorts_the_rows(rows: list[list[int]]) -> None:
    sets = [sorted({item for item in row if item >= 0}) for row in rows]
    assert as_lists(transpose(transpose(ragged(sets), 6), len(rows))) == sets


@settings(deadline=None, max_examples=50)
@given(ROWS)
def test_newest_marks_the_last_of_each_item(rows: list[list[int]]) -> None:
    sets = ragged(rows)
    expected = [
        item >= 0 and item not in row[at + 1 :] for row in rows for at, item in enumerate(row)
    ]
    assert newest(sets.indptr, sets.items).tolist() == expected


@pytest.mark.parametrize("n", [0, 1, 3, MOST_CHUNKS, 3 * MOST_CHUNKS + 1])
def test_dealt_rows_are_restored(n: int) -> None:
    order = dealt(n)
    assert sorted(order.tolist()) == list(range(n))
    sizes = order % 3
    indptr = np.concatenate(([0], np.cumsum(sizes))).astype(np.int64)
    items = np.repeat(order, sizes).astype(np.int32)
    found = undealt(Rows(indptr, items, items.astype(np.float32)), order)
    assert found.items.tolist() == [row for row in range(n) for _ in range(row % 3)]
    assert np.diff(found.indptr).tolist() == [row % 3 for row in range(n)]


def test_each_chunk_gets_low_and_high_numbers() -> None:
    order = dealt(2 * MOST_CHUNKS)
    assert order[:4].tolist() == [0, MOST_CHUNKS, 1, MOST_CHUNKS + 1]
