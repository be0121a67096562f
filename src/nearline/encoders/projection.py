"""Linear map from item content to collaborative factors, for items without interactions.

Items that the same users interact with have similar factors. A ridge regression predicts an item's
factors from its terms and vectors, which also works for items without any event:

    V    right singular vectors of the interactions, each scaled by its singular value
    W    minimises  sum over items i: c_i |x_i W - v_i|^2 + ridge |W|^2

x_i is the concatenation of item i's TF-IDF weights and vectors, v_i its row of V scaled to unit
length, c_i the square root of its popularity. Z. Gantner and others, "Learning
attribute-to-feature mappings for cold-start recommendations", ICDM 2010, section 3.3; the normal
equations are solved for all factors simultaneously by conjugate gradients (M. Hestenes, E. Stiefel,
1952), V is computed by subspace iteration
(N. Halko, P. Martinsson, J. Tropp, "Finding structure with randomness", SIAM Review 2011, 4.4).
"""

from collections.abc import Mapping
from typing import Any, Self
from urllib.parse import quote, unquote

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from nearline.encoders.base import unit
from nearline.encoders.tfidf import Vector
from nearline.kernels.csr import Csr
from nearline.kernels.edges import Rows

Floats = NDArray[np.float32]
Arrays = dict[str, NDArray[Any]]

# Added to an item's popularity when interactions are scaled, to dampen the weight of rare items.
SHRINKAGE = 3.0
OVERSAMPLED, POWER_STEPS = 10, 4
GRADIENT_STEPS = 30
TINY = 1e-12


class Projection:
    """Linear map W from item content to factors.

    W has one row for each term of the vocabulary and for each dimension of the items' dense
    vectors, and one column per factor. Instances are created with `fit` and `restore`.

    Attributes
    ----------
    factors : int
        Length of a projected vector.
    """

    def __init__(self, words: NDArray[np.float16], dense: Mapping[str, Floats]) -> None:
        # Half precision, because this is one of the largest arrays of a snapshot.
        self._words = words
        self._dense = dict(dense)

    @classmethod
    def fit(
        cls,
        texts: Rows,
        n_terms: int,
        vectors: Mapping[str, Floats],
        interactions: Csr,
        *,
        factors: int,
        ridge: float,
        seed: int = 0,
    ) -> Self:
        """Fit the map to the interactions of users with items.

        Parameters
        ----------
        texts : Rows
            TF-IDF vector of each item: columns below `n_terms`, and weights.
        n_terms : int
            Size of the vocabulary.
        vectors : dict of str to float32 [n_items, d]
            Dense vectors of the items; rows are scaled to unit length.
        interactions : Csr [n_users, n_items]
            Weight of each user-item pair; non-negative.
        factors : int
            Number of factors, reduced to the number of users or items if there are fewer.
        ridge : float
            Weight of the ridge penalty.
        seed : int
            Seed of the subspace iteration.

        Notes
        -----
        With z interactions and t non-zero TF-IDF weights, the time complexity is
        O((z + t + n_items * d) * factors) for each of about 35 iterations.
        """
        words = Csr.from_rows(texts, n_terms)
        names = sorted(vectors)
        features = [words, *(unit(vectors[name]) for name in names)]
        # A single BLAS thread, since the order of sums over several threads is not deterministic.
        with threadpool_limits(1, user_api="blas"):
            popularity = interactions.sum(axis=0)
            places = unit(_places(interactions, popularity, factors, seed))
            confidence = np.sqrt(popularity).astype(np.float32)
            weights = _ridge(features, places, confidence, ridge)
        return cls(weights[0].astype(np.float16), dict(zip(names, weights[1:], strict=True)))

    @property
    def factors(self) -> int:
        """Length of a projected vector."""
        return int(self._words.shape[1])

    def project_all(self, texts: Rows, vectors: Mapping[str, Floats]) -> Floats:
        """Project the content of all items to unit vectors.

        Parameters
        ----------
        texts : Rows
            TF-IDF vector of each item.
        vectors : dict of str to float32 [n_items, d]
            The dense vectors that the map was fitted on.

        Returns
        -------
        float32 [n_items, factors]
            The projected vectors; zeros for an item without content.
        """
        words = Csr.from_rows(texts, len(self._words))
        found = words @ self._words.astype(np.float32)
        for name, weights in self._dense.items():
            found = found + unit(vectors[name]) @ weights
        return unit(found)

    def project(self, text: Vector, vectors: Mapping[str, Floats]) -> Floats:
        """Project the content of one item to a unit vector.

        Parameters
        ----------
        text : tuple
            Columns and values of its TF-IDF vector. Terms that were added to the vocabulary after
            the fit are ignored.
        vectors : dict of str to float32 [d]
            Dense vectors of the item by name; a missing vector counts as zeros.

        Returns
        -------
        float32 [factors]
            The projected vector; zeros for an item without content.
        """
        columns, values = text
        known = columns < len(self._words)
        found: Floats = np.asarray(values[known] @ self._words[columns[known]].astype(np.float32))
        for name, weights in self._dense.items():
            if name in vectors:
                found = found + unit(vectors[name][None])[0] @ weights
        return np.asarray(unit(found[None])[0], dtype=np.float32)

    def arrays(self) -> Arrays:
        """Return the map as arrays by name."""
        dense = {f"dense/{quote(name, safe='')}": weights for name, weights in self._dense.items()}
        return {"words": self._words} | dense

    @classmethod
    def restore(cls, arrays: Arrays) -> Self:
        """Create a map from the result of the method `arrays`, which may be read-only."""
        prefix = "dense/"
        dense = {
            unquote(name.removeprefix(prefix)): array
            for name, array in arrays.items()
            if name.startswith(prefix)
        }
        return cls(arrays["words"], dense)


def _places(interactions: Csr, popularity: NDArray[Any], factors: int, seed: int) -> Floats:
    """Compute item factors, float32 [n_items, factors]: right singular vectors times values.

    Interactions are first divided by the square roots of the users' activity and the items'
    popularity.
    """
    activity = interactions.sum(axis=1)
    users = 1.0 / np.sqrt(np.maximum(activity, 1.0))
    items = 1.0 / np.sqrt(np.maximum(popularity, 1.0) + SHRINKAGE)
    matrix = interactions.scaled(users, items).astype(np.float32)
    turned = matrix.T
    width = min(factors + OVERSAMPLED, *matrix.shape)
    start = np.random.default_rng(seed).normal(size=(matrix.shape[1], width))
    basis = np.linalg.qr(matrix @ start.astype(np.float32))[0]
    for _ in range(POWER_STEPS):
        basis = np.linalg.qr(matrix @ np.linalg.qr(turned @ basis)[0])[0]
    _, values, right = np.linalg.svd((turned @ basis).T, full_matrices=False)
    kept = min(factors, len(values))
    return np.asarray(right[:kept].T * values[:kept], dtype=np.float32)


def _ridge(features: list[Any], targets: Floats, confidence: Floats, ridge: float) -> list[Floats]:
    """Solve the ridge regression by conjugate gradients.

    Parameters
    ----------
    features : list of array [n_items, d]
        Blocks of the content matrix X, dense or sparse.
    targets : float32 [n_items, factors]
        Rows v_i.
    confidence : float32 [n_items]
        Weights c_i.
    ridge : float
        Weight of the penalty.

    Returns
    -------
    list of float32 [d, factors]
        Rows of W for each block.
    """
    turned = [block.T for block in features]

    def gather(rows: Floats) -> list[Floats]:
        return [block @ rows for block in turned]

    residual = gather(confidence[:, None] * targets)
    weights = [np.zeros_like(block) for block in residual]
    direction = [block.copy() for block in residual]
    left = _squares(residual, residual)
    for _ in range(GRADIENT_STEPS):
        image = sum(block @ part for block, part in zip(features, direction, strict=True))
        bent = gather(confidence[:, None] * image)
        for b, p in zip(bent, direction, strict=True):
            b += np.float32(ridge) * p
        step = left / np.maximum(_squares(direction, bent), TINY)
        for w, p, r, b in zip(weights, direction, residual, bent, strict=True):
            w += step * p
            r -= step * b
        now = _squares(residual, residual)
        turn = now / np.maximum(left, TINY)
        for p, r in zip(direction, residual, strict=True):
            p *= turn
            p += r
        left = now
    return weights


def _squares(left: list[Floats], right: list[Floats]) -> Floats:
    """Compute the inner product of two lists of blocks for each factor: float32 [factors]."""
    sums = [np.einsum("df,df->f", a, b) for a, b in zip(left, right, strict=True)]
    return np.asarray(np.sum(sums, axis=0), dtype=np.float32)
