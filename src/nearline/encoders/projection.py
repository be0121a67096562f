"""A linear map from what an item says of itself to where its buyers are.

Items that the same users want lie near each other in a space of factors. A ridge regression from
an item's words and vectors to its place there says where an item without any events belongs:

    V    right singular vectors of the interactions, each scaled by its singular value
    W    minimises  sum over items i: c_i |x_i W - v_i|^2 + ridge |W|^2

x_i holds the TF-IDF weights of item i's terms and its vectors, v_i its row of V at length one, c_i
the root of its popularity. Z. Gantner and others, "Learning attribute-to-feature mappings for
cold-start recommendations", ICDM 2010, section 3.3; the normal equations are solved for all factors
at once by conjugate gradients (M. Hestenes, E. Stiefel, 1952), V is found by subspace iteration
(N. Halko, P. Martinsson, J. Tropp, "Finding structure with randomness", SIAM Review 2011, 4.4).
"""

from collections.abc import Mapping
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from threadpoolctl import threadpool_limits

from nearline.encoders.base import unit
from nearline.encoders.tfidf import Vector
from nearline.kernels.edges import Rows

Floats = NDArray[np.float32]
Arrays = dict[str, NDArray[Any]]

# Added to an item's popularity where interactions are scaled, so that the rare do not rule.
SHRINKAGE = 3.0
OVERSAMPLED, POWER_STEPS = 10, 4
GRADIENT_STEPS = 30
TINY = 1e-12


class Projection:
    """The map W: one row for each known term and each number of a vector, one column a factor.

    Attributes
    ----------
    factors : int
        Length of a projected vector.
    """

    def __init__(self, words: NDArray[np.float16], dense: Mapping[str, Floats]) -> None:
        # Half precision: of all arrays of a snapshot this is among the largest.
        self._words = words
        self._dense = dict(dense)

    @classmethod
    def fit(
        cls,
        texts: Rows,
        n_terms: int,
        vectors: Mapping[str, Floats],
        interactions: "sparse.csr_array",
        *,
        factors: int,
        ridge: float,
        seed: int = 0,
    ) -> Self:
        """Learn the map.

        Parameters
        ----------
        texts : Rows
            TF-IDF vector of each item: columns below `n_terms`, weights.
        vectors : dict of str to float32 [n_items, d]
            Dense vectors of the items; each row is scaled to length one.
        interactions : sparse [n_users, n_items]
            Weights of events, at least 0.
        factors : int
            Size of the space; never more than users or items there are.
        ridge : float
            Weight of the penalty.

        Notes
        -----
        O((interactions + words + items * d) * factors) times some dozens of steps.
        """
        n_items = interactions.shape[1]
        words = sparse.csr_array(
            (texts.weights, texts.items, texts.indptr), shape=(n_items, n_terms)
        )
        names = sorted(vectors)
        features = [words, *(unit(vectors[name]) for name in names)]
        # Sums of several threads could come in any order.
        with threadpool_limits(1, user_api="blas"):
            popularity = np.asarray(interactions.sum(axis=0)).ravel()
            places = unit(_places(interactions, popularity, factors, seed))
            confidence = np.sqrt(popularity).astype(np.float32)
            weights = _ridge(features, places, confidence, ridge)
        return cls(weights[0].astype(np.float16), dict(zip(names, weights[1:], strict=True)))

    @property
    def factors(self) -> int:
        """Length of a projected vector."""
        return int(self._words.shape[1])

    def project_all(self, texts: Rows, vectors: Mapping[str, Floats]) -> Floats:
        """Project all items, to length one, float32 [n_items, factors]; zeros where none fits."""
        words = sparse.csr_array(
            (texts.weights, texts.items, texts.indptr),
            shape=(len(texts.indptr) - 1, len(self._words)),
        )
        found = np.asarray(words @ self._words.astype(np.float32))
        for name, weights in self._dense.items():
            found = found + unit(vectors[name]) @ weights
        return unit(found)

    def project(self, text: Vector, vectors: Mapping[str, Floats]) -> Floats:
        """Project one item, to length one, float32 [factors].

        Parameters
        ----------
        text : tuple
            Columns and values of its TF-IDF vector; terms that came after the fit say nothing.
        vectors : dict of str to float32 [d]
            Vectors by name; a missing one counts as zeros.
        """
        columns, values = text
        known = columns < len(self._words)
        found: Floats = np.asarray(values[known] @ self._words[columns[known]].astype(np.float32))
        for name, weights in self._dense.items():
            if name in vectors:
                found = found + unit(vectors[name][None])[0] @ weights
        return np.asarray(unit(found[None])[0], dtype=np.float32)

    def arrays(self) -> Arrays:
        """Everything learned."""
        dense = {f"dense/{name}": weights for name, weights in self._dense.items()}
        return {"words": self._words} | dense

    @classmethod
    def restore(cls, arrays: Arrays) -> Self:
        """Rebuild from `arrays`, which may be read-only."""
        prefix = "dense/"
        dense = {
            name.removeprefix(prefix): array
            for name, array in arrays.items()
            if name.startswith(prefix)
        }
        return cls(arrays["words"], dense)


def _places(
    interactions: "sparse.csr_array", popularity: NDArray[Any], factors: int, seed: int
) -> Floats:
    """Items in the space of factors: right singular vectors times singular values."""
    activity = np.asarray(interactions.sum(axis=1)).ravel()
    users = sparse.diags_array(1.0 / np.sqrt(np.maximum(activity, 1.0)))
    items = sparse.diags_array(1.0 / np.sqrt(np.maximum(popularity, 1.0) + SHRINKAGE))
    matrix = sparse.csr_array(users @ interactions @ items, dtype=np.float32)
    width = min(factors + OVERSAMPLED, *matrix.shape)
    start = np.random.default_rng(seed).normal(size=(matrix.shape[1], width))
    basis = np.linalg.qr(matrix @ start.astype(np.float32))[0]
    for _ in range(POWER_STEPS):
        basis = np.linalg.qr(matrix @ np.linalg.qr(matrix.T @ basis)[0])[0]
    _, values, right = np.linalg.svd((matrix.T @ basis).T, full_matrices=False)
    kept = min(factors, len(values))
    return np.asarray(right[:kept].T * values[:kept], dtype=np.float32)


def _ridge(features: list[Any], targets: Floats, confidence: Floats, ridge: float) -> list[Floats]:
    """Weights of each block of features, [d, factors], by conjugate gradients."""

    def gather(rows: Floats) -> list[Floats]:
        return [np.asarray(block.T @ rows) for block in features]

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
    """Inner product of two lists of blocks, one number a factor."""
    sums = [np.einsum("df,df->f", a, b) for a, b in zip(left, right, strict=True)]
    return np.asarray(np.sum(sums, axis=0), dtype=np.float32)
