"""Synthetic user-item matrix of any size, with skewed popularity, activity and tastes.

The full size is that of MovieLens 20M: 138,000 users, 27,000 items, 20 million interactions. The
activity of users is log-normal, the popularity of items decreases with a power of the rank, and
half of a user's interactions are with items from three groups that the user likes.
"""

import tempfile
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

USERS, ITEMS, INTERACTIONS = 138_000, 27_000, 20_000_000
GROUPS, LIKED_GROUPS, SHARE_OF_LIKED = 40, 3, 0.5
# Standard deviation of the log-activity; exponent and offset of the popularity.
ACTIVITY, FALL, HEAD = 1.1, 2.5, 800.0


def synthetic_matrix(share: float = 1.0, *, seed: int = 0) -> "sparse.csr_array":
    """Return a matrix of users by items, float32 ones, cached in the temporary folder.

    `share` scales the number of interactions. The numbers of users and items are scaled by its
    square root, so that the density is constant.
    """
    folder = Path(tempfile.gettempdir()) / "nearline-benchmarks"
    folder.mkdir(exist_ok=True)
    path = folder / f"matrix-{share:g}-{seed}.npz"
    if not path.exists():
        side = share**0.5
        matrix = _draw(round(USERS * side), round(ITEMS * side), round(INTERACTIONS * share), seed)
        np.savez(path, indptr=matrix.indptr, indices=matrix.indices, shape=matrix.shape)
    with np.load(path) as arrays:
        ones = np.ones(len(arrays["indices"]), dtype=np.float32)
        return sparse.csr_array(
            (ones, arrays["indices"], arrays["indptr"]), shape=tuple(arrays["shape"])
        )


def _draw(n_users: int, n_items: int, wanted: int, seed: int) -> "sparse.csr_array":
    rng = np.random.default_rng(seed)
    popularity = (HEAD * n_items / ITEMS + np.arange(n_items)) ** -FALL
    popularity = rng.permutation(popularity / popularity.sum())
    group = rng.integers(GROUPS, size=n_items)
    liked = rng.integers(GROUPS, size=(n_users, LIKED_GROUPS))
    activity = np.exp(ACTIVITY * rng.standard_normal(n_users))
    activity = np.minimum(activity / activity.sum(), 0.2 * n_items / wanted)
    kept = np.zeros(0, dtype=np.int64)
    while len(kept) < wanted:
        users = rng.choice(n_users, size=wanted // 2, p=activity / activity.sum())
        own = rng.random(len(users)) < SHARE_OF_LIKED
        items = np.empty(len(users), dtype=np.int64)
        items[~own] = rng.choice(n_items, size=int((~own).sum()), p=popularity)
        which = liked[users, rng.integers(LIKED_GROUPS, size=len(users))]
        for number in range(GROUPS):
            members = np.flatnonzero(group == number)
            chances = popularity[members] / popularity[members].sum()
            asked = np.flatnonzero(own & (which == number))
            items[asked] = rng.choice(members, size=len(asked), p=chances)
        kept = np.unique(np.concatenate((kept, users * np.int64(n_items) + items)))
    kept = rng.permutation(kept)[:wanted]
    kept.sort()
    users, items = np.divmod(kept, n_items)
    indptr = np.searchsorted(users, np.arange(n_users + 1))
    ones: NDArray[np.float32] = np.ones(len(items), dtype=np.float32)
    return sparse.csr_array((ones, items.astype(np.int32), indptr), shape=(n_users, n_items))
