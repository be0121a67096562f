"""Neighbours among sparse vectors: exact, or among those that share a rare term."""

import os
from random import Random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests import naive

from nearline.encoders.text_index import TextIndex
from nearline.kernels import text_search
from nearline.kernels.text_neighbours import longest_search
from nearline.kernels.text_search import make_scratch

# Hashes are 64-bit integers that wrap around, which the integers of Python do not.
pytestmark = pytest.mark.skipif("NUMBA_DISABLE_JIT" in os.environ, reason="needs compiled kernels")


WORDS = [f"w{number}" for number in range(6)]
TEXTS = st.lists(st.lists(st.sampled_from(WORDS), max_size=4).map(" ".join), max_size=12)


def products(index: TextIndex, item: int, n_items: int) -> dict[int, float]:
    """Cosines with every other item, from the vectors that the index holds."""
    own = dict(zip(*(part.tolist() for part in index.vector(item)), strict=True))
    found = {}
    for other in range(n_items):
        columns, values = (part.tolist() for part in index.vector(other))
        pairs = zip(columns, values, strict=True)
        found[other] = sum(own.get(column, 0.0) * value for column, value in pairs)
    return {other: value for other, value in found.items() if other != item}


def search(index: TextIndex, item: int, k: int, exact: int) -> dict[int, float]:
    scratch = make_scratch(len(index._later.arrays.starts))
    items, values = index._search(index.vector(item), item, None, k, exact, scratch)
    # Nothing is left over for the next search.
    assert not scratch.totals.any()
    assert not scratch.marked.any()
    assert (scratch.table == -1).all()
    assert values.tolist() == sorted(values.tolist(), reverse=True)
    return dict(zip(items.tolist(), values.tolist(), strict=True))


@settings(deadline=None, max_examples=60)
@given(TEXTS, TEXTS, st.integers(1, 5))
def test_whatever_is_returned_has_its_true_cosine(
    base: list[str], later: list[str], k: int
) -> None:
    index = TextIndex()
    index.fit(base, 1)
    for at, text in enumerate(later):
        index.put(2 * at, text)
    n_items = max(len(base), 2 * len(later))
    for item in range(n_items):
        true = products(index, item, n_items)
        best = naive.top_k(true, k, above=0.0)
        exact, short = search(index, item, k, 1 << 40), search(index, item, k, 0)
        assert exact == pytest.approx(dict(best), abs=1e-6)
        # All lists are short here: nothing is missed, whichever way they are read.
        assert short == pytest.approx(exact, abs=1e-6)


@pytest.fixture
def crowd(monkeypatch: pytest.MonkeyPatch) -> TextIndex:
    """3,000 items that all share two words; two by two they share a third, but for the last."""
    monkeypatch.setattr(text_search, "EXACT", 100)
    index = TextIndex()
    index.fit(["shop example only"] * 10, 1)
    for item in range(10, 3_000):
        index.put(item, f"shop example pair{item // 2}")
    index.put(2_999, "shop example")
    return index


def test_items_that_share_a_rare_word_are_found_among_very_many(crowd: TextIndex) -> None:
    # 2000 and 2001 share "pair1000", and the words next to it.
    found = search(crowd, 2_000, 10, 100)
    true = products(crowd, 2_000, 3_000)
    assert next(iter(found)) == 2_001
    assert len(found) == 10
    assert found == pytest.approx({item: true[item] for item in found}, abs=1e-6)


def test_items_that_share_common_words_alone_have_neighbours_too(crowd: TextIndex) -> None:
    found = search(crowd, 2_999, 10, 100)
    assert len(found) == 10
    assert all(value > 0.0 for value in found.values())


def test_a_fit_of_very_many_keeps_the_nearest(monkeypatch: pytest.MonkeyPatch) -> None:
    texts = [f"shop example pair{item // 2}" for item in range(400)]
    exact = TextIndex().fit(texts, 5)
    monkeypatch.setattr("nearline.encoders.text_index.EXACT_TOGETHER", 0)
    again = TextIndex().fit(texts, 5)
    for item in range(400):
        one, two = (
            (rows.items[rows.indptr[item]], rows.weights[rows.indptr[item]])
            for rows in (exact, again)
        )
        assert one[0] == two[0] == item ^ 1
        assert one[1] == pytest.approx(two[1], abs=1e-6)


def test_the_longest_search_is_that_of_the_most_common_terms() -> None:
    index = TextIndex()
    index.fit(["a1 b1", "a1", "a1", "c1"], 1)
    # "a1" stands in three texts, "b1" and "a1 b1" in one each.
    assert longest_search(index.vectors, index._postings) == 5
    assert longest_search(TextIndex().vectors, TextIndex()._postings) == 0


def test_arrays_grow_together() -> None:
    index = TextIndex()
    rng = np.random.default_rng(0)
    for item in range(3_000):
        index.put(item, " ".join(f"u{word}" for word in rng.integers(0, 5_000, 4)))
    again = TextIndex.restore(index.encoder.config, index.arrays())
    for item in range(0, 3_000, 500):
        for one, two in zip(index.nearest(item, 5), again.nearest(item, 5), strict=True):
            assert one.tolist() == two.tolist()


def rows_of(index: TextIndex, items: list[int], texts: list[str], k: int) -> dict[int, list[float]]:
    """Put texts together; return the neighbours of each changed item, then their cosines."""
    found = {}
    for changes in index.changes(items, texts):
        near = index.put_all(changes, k)
        for row, item in enumerate(changes.items):
            own = slice(near.indptr[row], near.indptr[row + 1])
            found[item] = near.items[own].tolist() + near.weights[own].tolist()
    return found


def one_by_one(
    index: TextIndex, items: list[int], texts: list[str], k: int
) -> dict[int, list[float]]:
    found = {}
    for item, text in zip(items, texts, strict=True):
        if index.put(item, text):
            others, cosines = index.nearest(item, k)
            found[item] = others.tolist() + cosines.tolist()
    return found


@settings(deadline=None, max_examples=60)
@given(TEXTS, st.lists(TEXTS, max_size=3), st.integers(1, 5), st.randoms())
def test_texts_that_are_put_together_have_the_neighbours_of_one_by_one(
    base: list[str], batches: list[list[str]], k: int, random: Random
) -> None:
    together, apart = TextIndex(), TextIndex()
    for index in (together, apart):
        index.fit(base, 1)
    for texts in batches:
        items = random.sample(range(15), len(texts))
        assert rows_of(together, items, texts, k) == one_by_one(apart, items, texts, k)
    for name, array in apart.arrays().items():
        assert array.tolist() == together.arrays()[name].tolist(), name


def test_very_many_texts_together_have_the_neighbours_of_one_by_one() -> None:
    # From about 2,800 items on, the three common terms are in more entries than are read.
    texts = [f"shop example pair{item // 2}" for item in range(4_000)]
    together, apart = TextIndex(), TextIndex()
    for first in range(0, 4_000, 1_000):
        items = list(range(first, first + 1_000))
        some = texts[first : first + 1_000]
        assert rows_of(together, items, some, 5) == one_by_one(apart, items, some, 5)
    nearest = rows_of(together, [4_000], ["shop example pair7"], 2)[4_000][:2]
    assert set(nearest) == {14, 15}


def test_changes_are_split_where_a_text_is_replaced() -> None:
    index = TextIndex()
    index.fit(["tea", "pot"], 1)
    split = [
        (c.items, c.replaces) for c in index.changes([4, 1, 0, 3, 2], ["a1", "b1", "tea", "", "c1"])
    ]
    assert split == [([4], False), ([1], True), ([2], False)]
