"""Ratings written out by hand, as data sets and histories."""

from collections.abc import Sequence

import numpy as np
from hypothesis import strategies as st

from nearline.data.dataset import Dataset, Histories

Rated = Sequence[Sequence[tuple[int, float]]]


def histories(rows: Rated) -> Histories:
    """Histories whose weights are ratings."""
    plain = Histories.from_rows([[item for item, _ in row] for row in rows])
    weights = np.array([rating for row in rows for _, rating in row], dtype=np.float32)
    return Histories(plain.indptr, plain.items, weights, plain.times)


def rated(rows: Rated, n_items: int) -> Dataset:
    """A data set of these ratings; items without any are allowed."""
    given = histories(rows)
    return Dataset(
        user_ids=[f"u{user}" for user in range(len(rows))],
        item_ids=[f"i{item}" for item in range(n_items)],
        histories=given,
        values=given.weights,
    )


def dense(matrix: Sequence[Sequence[float]]) -> Dataset:
    """A data set of a whole matrix."""
    return rated([list(enumerate(row)) for row in matrix], len(matrix[0]))


def random_rows(n: int, m: int, seed: int, chance: float = 0.6) -> list[list[tuple[int, float]]]:
    """Ratings 1 to 5 of rank one and some noise, each known with the same chance."""
    rng = np.random.default_rng(seed)
    taste = np.outer(rng.normal(size=n), rng.normal(size=m)) + rng.normal(0, 0.3, (n, m))
    ratings = np.clip(np.round(3 + taste), 1, 5)
    known = rng.random((n, m)) < chance
    return [
        [(int(item), float(ratings[user, item])) for item in np.flatnonzero(known[user])]
        for user in range(n)
    ]


def rows_of(n_items: int) -> st.SearchStrategy[list[list[tuple[int, float]]]]:
    """Some users' ratings of different items, at least one in all."""
    ratings = st.integers(1, 10).map(lambda half: half / 2)
    row = st.dictionaries(st.integers(0, n_items - 1), ratings).map(lambda d: list(d.items()))
    return st.lists(row, min_size=1, max_size=6).filter(any)
