"""Splits of interactions into a training and a test part.

Users and items, and their indices, are the same in both parts. Splits can therefore be applied to
the results of others: `leave_one_out` of the training part of `leave_one_out` gives the validation
interactions of the strict protocol. A fraction is the share of the test part.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from hashlib import blake2b

import numpy as np
from numpy.typing import NDArray

from nearline.data.dataset import Dataset, Histories
from nearline.errors import InvalidInput

Mask = NDArray[np.bool_]

# An odd number with bits in all positions: multiplying by it changes all higher bits.
_MIXER = np.uint64(0x9E3779B97F4A7C15)


@dataclass(frozen=True)
class Split:
    """Two parts of a dataset.

    Attributes
    ----------
    train : Dataset
        All users and items, without the test interactions.
    test : Histories
        Interactions held out of each user, oldest first; a row can be empty.
    """

    train: Dataset
    test: Histories


def hold_out(data: Dataset, test: Mask) -> Split:
    """Hold out the interactions for which `test`, bool [n_interactions], is true.

    Interactions that a later opinion in the same part replaces are left out.
    """
    train = data.take(~test).without_superseded()
    return Split(train, data.take(test).histories.without_superseded())


def leave_one_out(data: Dataset) -> Split:
    """Hold out the last interaction of each user who has at least two."""
    indptr = data.histories.indptr
    test = np.zeros(data.n_interactions, dtype=np.bool_)
    test[indptr[1:][np.diff(indptr) > 1] - 1] = True
    return hold_out(data, test)


def random_split(data: Dataset, fraction: float, rng: np.random.Generator) -> Split:
    """Hold out a fraction of all interactions, chosen uniformly at random."""
    _check_fraction(fraction)
    test = np.zeros(data.n_interactions, dtype=np.bool_)
    test[rng.permutation(len(test))[: round(fraction * len(test))]] = True
    return hold_out(data, test)


def random_folds(data: Dataset, folds: int, rng: np.random.Generator) -> Iterator[Split]:
    """Yield `folds` splits for cross-validation: each random part is the test part once."""
    if not 2 <= folds <= data.n_interactions:
        raise InvalidInput(
            f"folds is {folds}; it must be at least 2 and at most the number of interactions, "
            f"{data.n_interactions}",
            field="folds",
        )
    fold = rng.permutation(data.n_interactions) % folds
    for number in range(folds):
        yield hold_out(data, fold == number)


def stratified_split(data: Dataset, fraction: float, rng: np.random.Generator) -> Split:
    """Hold out a fraction of each user's interactions, chosen at random; 0.25 for a 75/25 split.

    A user with n interactions keeps ``round((1 - fraction) * n)``, halves rounded to even.
    """
    _check_fraction(fraction)
    # Sorting by user and then by a random key shuffles the interactions of each user.
    order = np.lexsort((rng.random(data.n_interactions), data.user_of_each()))
    test = np.zeros(data.n_interactions, dtype=np.bool_)
    test[order] = _last_of_each(data, fraction)
    return hold_out(data, test)


def set_split(data: Dataset, fraction: float) -> Split:
    """Hold out a fraction of each user's items, at least one of two or more; for unordered data.

    The items are those with the smallest hash of user ID and item ID, so that the split depends
    neither on the order of interactions nor on a seed, and those of a user do not depend on other
    users. All interactions of a user with an item are in the same part.
    """
    _check_fraction(fraction)
    users, items = data.user_of_each().astype(np.int64), data.histories.items.astype(np.int64)
    pairs, pair_of_each = np.unique(users * (data.n_items + 1) + items + 1, return_inverse=True)
    owners, others = pairs // (data.n_items + 1), pairs % (data.n_items + 1) - 1
    hashes = _mixed(
        _hashes(data.user_ids)[owners] ^ np.append(_hashes(data.item_ids), np.uint64(0))[others]
    )
    order = np.lexsort((hashes, owners))
    sizes = np.bincount(owners, minlength=data.n_users)
    place = np.empty(len(pairs), dtype=np.int64)
    place[order] = np.arange(len(pairs)) - np.repeat(np.cumsum(sizes) - sizes, sizes)
    held_out = np.where(sizes > 1, np.maximum(np.round(fraction * sizes), 1), 0)
    return hold_out(data, (place < held_out[owners])[pair_of_each])


def _hashes(ids: Sequence[str]) -> NDArray[np.uint64]:
    """Return a 64-bit hash of each ID."""
    digests = b"".join(blake2b(one.encode(), digest_size=8).digest() for one in ids)
    return _mixed(np.frombuffer(digests, dtype="<u8").astype(np.uint64))


def _mixed(hashes: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """Mix the bits of hashes, so that the exclusive or of two results has no structure."""
    mixed = (hashes ^ (hashes >> np.uint64(31))) * _MIXER  # overflow wraps around
    return mixed ^ (mixed >> np.uint64(29))


def user_time_split(data: Dataset, fraction: float) -> Split:
    """Hold out the newest fraction of each user's interactions, rounded as in `stratified_split`.

    No training interaction of a user is newer than one of that user's test interactions.
    """
    _check_fraction(fraction)
    return hold_out(data, _last_of_each(data, fraction))


def time_split(data: Dataset, fraction: float) -> Split:
    """Hold out the interactions after a point in time, about `fraction` of all.

    Every training interaction is strictly older than every test interaction; interactions at the
    point in time itself are in the training part.
    """
    _check_fraction(fraction)
    times = data.histories.times
    if len(times) == 0:
        return hold_out(data, np.zeros(0, dtype=np.bool_))
    moment = np.quantile(times, 1 - fraction, method="lower")
    return hold_out(data, times > moment)


def cold_items(data: Dataset, fraction: float, rng: np.random.Generator) -> Split:
    """Hold out all interactions with a random fraction of the items that have interactions."""
    chosen = _choose(np.unique(data.histories.items), fraction, rng)
    return hold_out(data, np.isin(data.histories.items, chosen))


def cold_users(data: Dataset, fraction: float, rng: np.random.Generator) -> Split:
    """Hold out all interactions of a random fraction of the users who have interactions."""
    users = data.user_of_each()
    return hold_out(data, np.isin(users, _choose(np.unique(users), fraction, rng)))


def _choose(
    candidates: NDArray[np.int32], fraction: float, rng: np.random.Generator
) -> NDArray[np.int32]:
    _check_fraction(fraction)
    return rng.permutation(candidates)[: round(fraction * len(candidates))]


def _last_of_each(data: Dataset, fraction: float) -> Mask:
    """Mark the last n - round((1 - fraction) n) interactions of each row of length n."""
    indptr = data.histories.indptr
    sizes = np.diff(indptr)
    kept = np.round((1 - fraction) * sizes).astype(np.int64)
    place = np.arange(data.n_interactions) - np.repeat(indptr[:-1], sizes)
    return place >= np.repeat(kept, sizes)


def _check_fraction(fraction: float) -> None:
    if not 0 < fraction < 1:
        raise InvalidInput(
            f"fraction is {fraction!r}; it must be between 0 and 1, both exclusive: it is the "
            "share of the test part",
            field="fraction",
        )
