"""The projection against a dense solution of the same equations."""

from typing import Any

import numpy as np
import pytest

from nearline.encoders.base import unit
from nearline.encoders.projection import SHRINKAGE, Projection
from nearline.kernels.csr import Csr
from nearline.kernels.edges import Rows

Shop = tuple[Rows, dict[str, np.ndarray], Any]

N_ITEMS, N_TERMS, FACTORS, RIDGE = 40, 12, 4, 0.7


@pytest.fixture(scope="module")
def shop() -> Shop:
    """Items of four kinds; words and buyers of a kind go together."""
    rng = np.random.default_rng(3)
    kinds = np.arange(N_ITEMS) % 4
    columns = [[int(kind), 4 + item % 7] for item, kind in enumerate(kinds)]
    texts = Rows(
        np.arange(0, 2 * N_ITEMS + 1, 2),
        np.array(columns, dtype=np.int32).ravel(),
        np.full(2 * N_ITEMS, np.sqrt(0.5), dtype=np.float32),
    )
    chance = np.where(kinds[None] == (np.arange(60) % 4)[:, None], 0.6, 0.05)
    bought = Csr.from_dense((rng.random(chance.shape) < chance).astype(np.float32))
    return texts, {"colour": rng.normal(size=(N_ITEMS, 3)).astype(np.float32)}, bought


def dense_words(texts: Rows) -> np.ndarray:
    words = np.zeros((N_ITEMS, N_TERMS))
    for item in range(N_ITEMS):
        row = slice(texts.indptr[item], texts.indptr[item + 1])
        words[item, texts.items[row]] = texts.weights[row]
    return words


def test_the_map_is_the_ridge_regression_on_the_factors(shop: Shop) -> None:
    texts, vectors, bought = shop
    found = Projection.fit(texts, N_TERMS, vectors, bought, factors=FACTORS, ridge=RIDGE)
    matrix = bought.toarray().astype(np.float64)
    popularity, activity = matrix.sum(axis=0), matrix.sum(axis=1)
    scaled = matrix / np.sqrt(activity)[:, None] / np.sqrt(popularity + SHRINKAGE)
    _, values, right = np.linalg.svd(scaled, full_matrices=False)
    places = unit(right[:FACTORS].T * values[:FACTORS])
    features = np.hstack([dense_words(texts), unit(vectors["colour"])])
    weighted = features * np.sqrt(popularity)[:, None]
    equations = features.T @ weighted + RIDGE * np.eye(features.shape[1])
    wanted = unit(features @ np.linalg.solve(equations, weighted.T @ places))
    got = found.project_all(texts, vectors)
    # The sign of a factor is free; cosines between items are not.
    np.testing.assert_allclose(got @ got.T, wanted @ wanted.T, atol=2e-3)
    assert found.factors == FACTORS


def test_projecting_one_item_equals_projecting_all(shop: Shop) -> None:
    texts, vectors, bought = shop
    fitted = Projection.fit(texts, N_TERMS, vectors, bought, factors=FACTORS, ridge=RIDGE)
    again = Projection.restore(fitted.arrays())
    for item in (0, 7, N_ITEMS - 1):
        row = slice(texts.indptr[item], texts.indptr[item + 1])
        # A term that nobody knew says nothing.
        columns = np.append(texts.items[row], np.int32(N_TERMS + 5))
        values = np.append(texts.weights[row], np.float32(0.9))
        alone = again.project((columns, values), {"colour": vectors["colour"][item]})
        np.testing.assert_allclose(alone, fitted.project_all(texts, vectors)[item], atol=1e-5)
    assert not again.project((np.zeros(0, np.int32), np.zeros(0, np.float32)), {}).any()


def test_same_seed_same_bits(shop: Shop) -> None:
    texts, vectors, bought = shop
    one, two = (
        Projection.fit(texts, N_TERMS, vectors, bought, factors=FACTORS, ridge=RIDGE, seed=5)
        for _ in range(2)
    )
    for name, array in one.arrays().items():
        assert np.array_equal(array, two.arrays()[name])


def test_more_factors_than_items_and_no_events() -> None:
    texts = Rows(np.array([0, 1, 2]), np.array([0, 0], np.int32), np.ones(2, np.float32))
    few = Csr.from_dense(np.array([[1.0, 0.0]], dtype=np.float32))
    found = Projection.fit(texts, 1, {}, few, factors=8, ridge=1.0)
    assert found.factors == 1
    assert np.isfinite(found.project_all(texts, {})).all()
    none = Csr.from_dense(np.zeros((3, 2), dtype=np.float32))
    assert not Projection.fit(texts, 1, {}, none, factors=2, ridge=1.0).project_all(texts, {}).any()
