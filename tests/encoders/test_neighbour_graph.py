"""Beyond a size vectors are found by a graph: nearly the same neighbours, with exact cosines."""

import logging

import numpy as np
import pytest
from numpy.typing import NDArray

from nearline.encoders import index as module
from nearline.encoders import neighbour_graph
from nearline.encoders.index import VectorIndex
from nearline.kernels.edges import Rows

N, WIDTH, K = 600, 24, 10
Floats = NDArray[np.float32]


@pytest.fixture
def vectors() -> Floats:
    rng = np.random.default_rng(3)
    centres = rng.standard_normal((20, WIDTH))
    drawn = centres[rng.integers(20, size=N)] + 0.3 * rng.standard_normal((N, WIDTH))
    drawn[7] = 0.0  # an item without a vector
    return drawn.astype(np.float32)


@pytest.fixture
def many(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every index of these tests counts as one of very many vectors."""
    monkeypatch.setattr(module, "COMPARED", 100)


def exact(vectors: Floats, k: int) -> list[list[int]]:
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    units = vectors / np.where(lengths > 0, lengths, 1)
    found = units @ units.T
    np.fill_diagonal(found, -1.0)
    best = np.argsort(-found, axis=1)[:, :k]
    return [[j for j in row.tolist() if found[i, j] > 0] for i, row in enumerate(best)]


def as_lists(rows: Rows) -> list[list[int]]:
    return [rows.items[a:b].tolist() for a, b in zip(rows.indptr, rows.indptr[1:], strict=False)]


def recall(found: list[list[int]], expected: list[list[int]]) -> float:
    hits = sum(len(set(a) & set(b)) for a, b in zip(found, expected, strict=True))
    return hits / sum(len(row) for row in expected)


@pytest.mark.usefixtures("many")
def test_nearly_all_neighbours_are_found_and_their_cosines_are_exact(vectors: Floats) -> None:
    rows = VectorIndex(WIDTH).fit(vectors, K)
    found = as_lists(rows)
    assert recall(found, exact(vectors, K)) > 0.99
    assert found[7] == []
    assert all(item not in row and 7 not in row for item, row in enumerate(found))
    units = vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-9)
    sources = np.repeat(np.arange(N), np.diff(rows.indptr))
    cosines = np.einsum("id,id->i", units[sources], units[rows.items])
    assert rows.weights == pytest.approx(cosines, abs=1e-6)
    falls = np.diff(rows.weights) <= 0
    assert falls[np.diff(sources) == 0].all()


@pytest.mark.usefixtures("many")
def test_the_same_vectors_give_the_same_bytes(vectors: Floats) -> None:
    first, second = VectorIndex(WIDTH), VectorIndex(WIDTH)
    assert as_lists(first.fit(vectors, K)) == as_lists(second.fit(vectors, K))
    for name, array in first.arrays().items():
        assert array.tobytes() == second.arrays()[name].tobytes()


@pytest.mark.usefixtures("many")
def test_items_put_later_are_found_and_have_neighbours(vectors: Floats) -> None:
    index = VectorIndex(WIDTH)
    index.fit(vectors, K)
    changed = vectors.copy()
    changed[3] = vectors[100] + np.float32(0.01)  # moves beside another
    new = vectors[200] + np.float32(0.01)
    assert index.put(3, changed[3])
    assert index.put(N, new)
    assert not index.put(N, new)
    whole = np.concatenate((changed, new[None]))
    again = VectorIndex.restore({name: a.copy() for name, a in index.arrays().items()})
    expected = exact(whole, K)
    for one in (index, again):
        assert 3 in one.nearest(100, K)[0]
        assert N in one.nearest(200, K)[0]
        asked = [3, 100, 200, N, 50]
        found = [one.nearest(item, K)[0].tolist() for item in asked]
        assert recall(found, [expected[item] for item in asked]) > 0.9
        items, values = one.nearest(N, K)
        assert N not in items
        direct = whole[items] @ new / (np.linalg.norm(whole[items], axis=1) * np.linalg.norm(new))
        assert values == pytest.approx(direct, abs=0.02)
        assert one.nearest(7, K)[0].tolist() == []


@pytest.mark.usefixtures("many")
def test_the_graph_is_rebuilt_after_many_puts(
    vectors: Floats, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "LATER", 5)
    index = VectorIndex(WIDTH)
    index.fit(vectors[:500], K)
    for item in range(500, 505):
        index.put(item, vectors[item])
    assert index.arrays()["later"].tolist() == list(range(500, 505))
    for item in range(505, N):
        index.put(item, vectors[item])
    arrays = index.arrays()
    assert arrays["later"].tolist() == []
    whole = VectorIndex(WIDTH)
    whole.fit(vectors, K)
    restored = VectorIndex.restore(arrays)
    for item in (0, 550, 599):
        assert restored.nearest(item, K)[0].tolist() == whole.nearest(item, K)[0].tolist()


@pytest.mark.usefixtures("many")
def test_without_usearch_search_is_exhaustive_with_one_warning(
    vectors: Floats, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    fitted = VectorIndex(WIDTH)
    fitted.fit(vectors, K)
    neighbour_graph._usearch.cache_clear()

    def refuse(name: str) -> None:
        raise ImportError(name)

    with monkeypatch.context() as patch, caplog.at_level(logging.WARNING):
        patch.setattr(neighbour_graph, "import_module", refuse)
        index = VectorIndex(WIDTH)
        assert as_lists(index.fit(vectors, K)) == exact(vectors, K)
        # A snapshot that was made where it is installed serves here too.
        restored = VectorIndex.restore(fitted.arrays())
        assert restored.nearest(50, K)[0].tolist() == index.nearest(50, K)[0].tolist()
    neighbour_graph._usearch.cache_clear()
    assert "graph" not in index.arrays() or neighbour_graph._usearch() is not None
    assert [r.getMessage() for r in caplog.records if "nearline[index]" in r.getMessage()] != []
    assert sum("nearline[index]" in r.getMessage() for r in caplog.records) == 1
