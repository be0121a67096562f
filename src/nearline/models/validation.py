"""NDCG on validation data, for models that choose their settings."""

import numpy as np
from numpy.typing import NDArray

from nearline.data.dataset import Histories, IntArray


def draw_users(validation: Histories, most: int, seed: int) -> NDArray[np.int64]:
    """Return up to `most` random users with a known positive target, ascending: int64 [n]."""
    counted = (validation.weights > 0) & (validation.items >= 0)
    rows = np.repeat(np.arange(len(validation)), np.diff(validation.indptr))[counted]
    users = np.unique(rows)
    return np.sort(np.random.default_rng(seed).permutation(users)[:most])


def ndcg_of_lists(items: IntArray, truth: Histories) -> NDArray[np.float64]:
    """Compute the NDCG of each list: float64 [n], NaN for a user without a known positive target.

    Relevance is binary, and the discount is 1 / log2(rank + 1).

    Parameters
    ----------
    items : int32 [n, k]
        Lists, padded with -1.
    truth : Histories
        Targets, one row per list.
    """
    k = items.shape[1]
    discounts = 1.0 / np.log2(np.arange(2, k + 2))
    best = np.concatenate(([np.nan], np.cumsum(discounts)))
    width = int(max(items.max(initial=0), truth.items.max(initial=0))) + 1
    counted = (truth.weights > 0) & (truth.items >= 0)
    rows = np.repeat(np.arange(len(truth)), np.diff(truth.indptr))[counted]
    keys = np.unique(rows * width + truth.items[counted])
    relevant = np.bincount(keys // width, minlength=len(truth))
    found = np.isin(np.arange(len(items))[:, None] * width + items, keys) & (items >= 0)
    values: NDArray[np.float64] = found @ discounts / best[np.minimum(relevant, k)]
    return values


def mean_ndcg(items: IntArray, truth: Histories) -> float:
    """Compute the mean of `ndcg_of_lists` over users with a target; 0 if there are none."""
    values = ndcg_of_lists(items, truth)
    values = values[~np.isnan(values)]
    return float(values.mean()) if len(values) else 0.0
