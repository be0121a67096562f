"""Sizes of intersections, against sets of Python."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.kernels.test_sets import ragged

from nearline.kernels.overlaps import TILE, overlaps

N_ITEMS = 200


@settings(deadline=None, max_examples=30)
@given(st.lists(st.sets(st.integers(0, N_ITEMS - 1)), min_size=1, max_size=5), st.data())
def test_overlaps_are_intersections(sets: list[set[int]], data: st.DataObject) -> None:
    chosen = data.draw(st.permutations(range(len(sets))))[: data.draw(st.integers(0, len(sets)))]
    found = overlaps(ragged([list(s) for s in sets]), np.array(chosen, dtype=np.int32), N_ITEMS)
    assert found.tolist() == [[len(sets[a] & sets[b]) for b in chosen] for a in chosen]


def test_more_sets_than_a_tile_and_all_bits_of_a_word() -> None:
    sets = [set(range(0, N_ITEMS, step)) for step in range(1, TILE + 3)]
    chosen = np.arange(len(sets), dtype=np.int32)
    expected = [[len(a & b) for b in sets] for a in sets]
    for threads in (1, 2):
        found = overlaps(ragged([list(s) for s in sets]), chosen, N_ITEMS, threads=threads)
        assert found.tolist() == expected
