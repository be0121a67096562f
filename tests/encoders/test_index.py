"""Neighbours of texts and vectors, as items come and change."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from tests import naive

from nearline.encoders.index import VectorIndex
from nearline.encoders.text_index import TextIndex
from nearline.kernels.topk import Best, top_k_rows

TEXTS = [
    "green tea leaf",
    "black tea leaf",
    "red running shoes",
    "",
    "green shoes",
    "tea pot of iron",
]
WORDS = st.lists(st.sampled_from(["tea", "pot", "red", "green", "shoe"]), max_size=4).map(" ".join)


def cosines(index: TextIndex, item: int, n_items: int) -> dict[int, float]:
    """Cosines by the definition, from the vectors that the index holds."""
    own = dict(zip(*(part.tolist() for part in index.vector(item)), strict=True))
    found = {}
    for other in range(n_items):
        if other != item:
            vector = zip(*(part.tolist() for part in index.vector(other)), strict=True)
            found[other] = sum(own.get(column, 0.0) * value for column, value in vector)
    return found


def check_all(index: TextIndex, n_items: int) -> None:
    for item in range(n_items):
        items, values = index.nearest(item, 3)
        expected = naive.top_k(cosines(index, item, n_items), 3, above=0.0)
        assert values.tolist() == pytest.approx([value for _, value in expected], abs=1e-6)
        assert item not in items


def test_fit_and_incremental_puts_agree() -> None:
    index = TextIndex()
    rows = index.fit(TEXTS, 3)
    check_all(index, len(TEXTS))
    for item in range(len(TEXTS)):
        part = slice(rows.indptr[item], rows.indptr[item + 1])
        items, values = index.nearest(item, 3)
        assert rows.items[part].tolist() == items.tolist()
        assert rows.weights[part] == pytest.approx(values, abs=1e-6)
    assert index.nearest(3, 3)[0].tolist() == []
    assert index.nearest(99, 3)[0].tolist() == []


@settings(deadline=None)
@given(st.lists(WORDS, max_size=4), st.lists(st.tuples(st.integers(0, 7), WORDS), max_size=6))
def test_the_order_of_puts_does_not_matter(texts: list[str], puts: list[tuple[int, str]]) -> None:
    index = TextIndex()
    index.fit(texts, 3)
    current = dict(enumerate(texts))
    for item, text in puts:
        assert index.put(item, text) == (current.get(item, "") != text)
        current[item] = text
    check_all(index, 8)
    again = TextIndex.restore(index.encoder.config, index.arrays())
    for item, text in current.items():
        for one, two in zip(index.nearest(item, 9), again.nearest(item, 9), strict=True):
            assert one.tolist() == two.tolist()
        assert not again.put(item, text)


@given(st.lists(WORDS, min_size=1, max_size=6), WORDS, st.lists(st.booleans(), max_size=6))
def test_matching_a_text_equals_the_neighbours_of_an_item_with_it(
    texts: list[str], asked: str, allowed: list[bool]
) -> None:
    index = TextIndex()
    index.fit(texts, 3)
    index.put(1, "pot of iron")
    index.put(len(texts) + 1, "red pot")
    own = dict(zip(*(part.tolist() for part in index.encoder.encode(asked)), strict=True))
    expected = {}
    for item in range(len(texts) + 2):
        vector = zip(*(part.tolist() for part in index.vector(item)), strict=True)
        expected[item] = sum(own.get(column, 0.0) * value for column, value in vector)
    items, values = index.matching(asked, 3)
    best = naive.top_k(expected, 3, above=0.0)
    assert values.tolist() == pytest.approx([value for _, value in best], abs=1e-6)
    may = {item: value for item, value in expected.items() if allowed[item : item + 1] == [True]}
    items, values = index.matching(asked, 3, np.array(allowed, dtype=np.bool_))
    best = naive.top_k(may, 3, above=0.0)
    assert values.tolist() == pytest.approx([value for _, value in best], abs=1e-6)
    assert set(items.tolist()) <= may.keys()


def test_two_new_items_that_share_a_new_word_are_neighbours() -> None:
    index = TextIndex()
    index.fit(TEXTS, 3)
    assert index.put(6, "umbrella")
    assert index.put(7, "umbrella stand")
    assert index.nearest(7, 3)[0].tolist() == [6]
    assert index.put(6, "raincoat")
    assert index.nearest(7, 3)[0].tolist() == []


def test_vectors() -> None:
    index = VectorIndex(2)
    vectors = np.array([[2, 0], [1, 1], [0, 0], [0, 3], [-1, 0]], dtype=np.float32)
    rows = index.fit(vectors, 2)
    assert [
        rows.items[a:b].tolist() for a, b in zip(rows.indptr, rows.indptr[1:], strict=False)
    ] == [
        [1],
        [0, 3],
        [],
        [1],
        [],
    ]
    assert rows.weights.tolist() == pytest.approx([0.5**0.5] * 4)
    again = VectorIndex.restore(index.arrays())
    again.arrays()["codes"].flags.writeable = False
    for which in (index, again):
        assert which.nearest(1, 1)[0].tolist() == [0]
        assert not which.put(0, np.array([5.0, 0.0], dtype=np.float32))
        assert which.put(6, np.array([-1.0, 0.1], dtype=np.float32))
        assert which.put(0, np.array([0.0, 1.0], dtype=np.float32))
        assert which.nearest(6, 9)[0].tolist() == [4, 0, 3]
        assert which.arrays()["codes"].shape == (7, 2)


def test_vectors_of_an_earlier_snapshot() -> None:
    vectors = np.array([[0.6, 0.8], [1, 0], [0, 0]], dtype=np.float32)
    index = VectorIndex.restore({"vectors": vectors})
    items, values = index.nearest(1, 2)
    assert items.tolist() == [0]
    assert values.tolist() == pytest.approx([0.6], abs=0.005)
    assert not index.put(0, vectors[0])


def test_equal_vectors_are_compared_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """40 items with 3 different vectors, and 2 without one: lists as by the definition."""
    rng = np.random.default_rng(3)
    kinds = rng.normal(size=(3, 5)).astype(np.float32)
    vectors = kinds[rng.integers(3, size=42)]
    vectors[[7, 30]] = 0.0
    compared: list[int] = []

    def counted(scores: NDArray[np.float32], k: int, *, above: float) -> Best:
        compared.append(len(scores))
        return top_k_rows(scores, k, above=above)

    monkeypatch.setattr("nearline.encoders.index.top_k_rows", counted)
    rows = VectorIndex(5).fit(vectors, 12)
    assert sum(compared) == 4
    lengths = np.linalg.norm(vectors.astype(np.float64), axis=1)
    for item in range(42):
        part = slice(rows.indptr[item], rows.indptr[item + 1])
        if not lengths[item]:
            assert part.start == part.stop
            continue
        dots = {
            other: round(float(vectors[item] @ vectors[other] / lengths[item] / lengths[other]), 6)
            for other in range(42)
            if other != item and lengths[other]
        }
        expected = naive.top_k(dots, 12, above=0.0)
        assert rows.items[part].tolist() == [other for other, _ in expected]
        assert rows.weights[part] == pytest.approx([value for _, value in expected], abs=1e-6)
