"""What people with the same attributes take, as counts that each event updates.

    A(u, j) = sum over columns c:  w_c * mean over tokens t of u in c:  (n_tj + m * p_j) / (n_t + m)

A token is a label of an attribute, or a bin of its numbers. n_tj is the number of users with t that
have j among their first items, n_t the sum over all items, and p_j the share of j among all users
with attributes. A mixture of the shares of groups is robust for small groups: see "linear opinion
pool" in R. L. Winkler, "The consensus of subjective probability distributions", Management Science
15, 1968. Only the first items of a user count, because they say what new users take, and so no user
weighs more than another.

Counts are integers, so those after an erasure equal those of a log without the user.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from nearline.data.attributes import Attributes, encode_users
from nearline.data.dataset import FloatArray, Histories
from nearline.models.array_checks import check_array, check_number
from nearline.models.item_graph.attribute_config import AttributeSettings

Arrays = dict[str, NDArray[Any]]
Doubles = NDArray[np.float64]

PREFIX = "attributes/"
MOST_USERS = 2**40


class AttributeCounts:
    """Number of users by token and item; token 0 stands for all users with attributes.

    Parameters
    ----------
    settings : AttributeSettings
        Columns and weights; without columns, nothing is counted.
    n_items : int
        Number of items.
    """

    def __init__(self, settings: AttributeSettings, n_items: int = 0) -> None:
        self.settings = settings
        self.tokens = [token for column in settings.columns for token in column.tokens]
        self._column_of = np.repeat(
            np.arange(len(settings.columns)), [len(column.tokens) for column in settings.columns]
        )
        rows = len(self.tokens) + 1 if self.active else 0
        self._counts = np.zeros((rows, n_items), dtype=np.int32)
        self._totals = np.zeros(rows, dtype=np.int64)
        self._n_users = 0  # with attributes and events

    @property
    def active(self) -> bool:
        """Whether there are columns."""
        return bool(self.settings.columns)

    def encode(self, users: list[Attributes]) -> FloatArray:
        """Return which tokens each user has: float32 [n_users, n_tokens]."""
        return encode_users(self.settings.columns, users)

    def add(self, histories: Histories, sign: int = 1) -> None:
        """Count the users of complete histories with features, or subtract them (`sign` -1).

        O(first items * tokens of a user) for each user.
        """
        features = histories.features
        if features is None or not len(histories):
            return
        users, items = first_items(histories, self.settings.first)
        some = np.asarray((features > 0).any(axis=1))[users]
        users, items = users[some], items[some]
        if not len(items):
            return
        self._grow(int(items.max()) + 1)
        events, tokens = np.nonzero(features[users])
        np.add.at(self._counts, (tokens + 1, items[events]), sign)
        np.add.at(self._counts[0], items, sign)
        self._totals[0] += sign * len(items)
        self._n_users += sign * len(np.unique(users))
        self._totals[1:] += sign * np.bincount(tokens, minlength=len(self.tokens))

    def scores(self, features: FloatArray, n_items: int) -> Doubles:
        """Return the scores of all items by features: float64 [n_users, n_items], from 0 to 1."""
        columns = self.by_column(features, n_items)
        weights = self._weights()
        found: Doubles = np.tensordot(weights, columns, axes=1)
        return found

    def by_column(
        self, features: FloatArray, n_items: int, items: NDArray[np.int32] | None = None
    ) -> Doubles:
        """Return the term of all users, and of each column: float64 [1 + C, n_users, n].

        n is the number of `items`, or `n_items`. A user without a token in a column has the term of
        all users there.
        """
        self._grow(n_items)
        counts = self._counts[:, :n_items] if items is None else self._counts[:, items]
        share = counts[0] / max(1, self._totals[0])
        pseudo = self.settings.shrinkage * self._totals[0] / max(1, self._n_users)
        found = np.empty((1 + len(self.settings.columns), len(features), len(share)))
        found[:] = share
        for column in range(len(self.settings.columns)):
            mine = np.flatnonzero(self._column_of == column)
            among = np.asarray(features[:, mine] > 0)
            used = np.flatnonzero(among.any(axis=0))
            if not len(used):
                continue
            among, mine = among[:, used], mine[used]
            has = among.any(axis=1)
            total = self._totals[1 + mine, None] + pseudo
            rates = (counts[1 + mine] + pseudo * share) / np.maximum(total, 1.0)
            found[1 + column, has] = among[has] @ rates / among[has].sum(axis=1, keepdims=True)
        return found

    def leaders(self, k: int) -> NDArray[np.int32]:
        """Return the `k` most frequent items of each token, ascending and distinct: int32 [n]."""
        k = min(k, self._counts.shape[1])
        some = np.argpartition(-self._counts, k - 1, axis=1)[:, :k] if k else self._counts[:, :0]
        return np.unique(some).astype(np.int32)

    def parts(self, features: FloatArray, item: int) -> list[tuple[str, float]]:
        """Return the terms of the score of an item for one user, by the names of the tokens."""
        terms = self._weights() * self.by_column(features[None], item + 1)[:, 0, item]
        names = ["everyone"]
        for column in range(len(self.settings.columns)):
            mine = np.flatnonzero((self._column_of == column) & (features > 0))
            names.append(", ".join(self.tokens[token] for token in mine) or "everyone")
        found: dict[str, float] = {}
        for name, term in zip(names, terms.tolist(), strict=True):
            found[name] = found.get(name, 0.0) + term
        return [(name, term) for name, term in found.items() if term]

    def arrays(self, n_items: int) -> Arrays:
        """Return the counts for a snapshot; nothing without columns."""
        if not self.active:
            return {}
        self._grow(n_items)
        return {
            f"{PREFIX}counts": np.ascontiguousarray(self._counts[:, :n_items]),
            f"{PREFIX}users": np.array([self._n_users], dtype=np.int64),
        }

    def load(self, arrays: Arrays, n_items: int) -> None:
        """Set the counts from the result of `arrays`."""
        if not self.active:
            return
        shape = (len(self.tokens) + 1, n_items)
        counts = arrays[f"{PREFIX}counts"]
        check_array({"counts": counts.ravel()}, "counts", "int32", shape[0] * shape[1])
        if counts.shape != shape or (counts < 0).any():
            raise ValueError(f"the counts of attributes have the shape {counts.shape}")
        self._n_users = check_number(arrays, f"{PREFIX}users", 0, MOST_USERS)
        self._counts = counts.copy()
        self._totals = counts.sum(axis=1, dtype=np.int64)

    def _weights(self) -> Doubles:
        weights = np.array([self.settings.base, *self.settings.weights])
        return weights / max(float(weights.sum()), 1e-12)

    def _grow(self, n_items: int) -> None:
        size = self._counts.shape[1]
        if n_items > size:
            more = max(n_items, size + size // 4) - size
            self._counts = np.pad(self._counts, ((0, 0), (0, more)))


def first_items(histories: Histories, first: int) -> tuple[NDArray[np.int64], NDArray[np.int32]]:
    """Return the users and the first distinct items of positive weight of their histories."""
    rows = histories.without_superseded()
    wanted = (rows.weights > 0) & (rows.items >= 0)
    users = np.repeat(np.arange(len(rows), dtype=np.int64), np.diff(rows.indptr))[wanted]
    items = rows.items[wanted]
    width = int(items.max(initial=0)) + 1
    _, places = np.unique(users * width + items, return_index=True)
    places.sort()
    users, items = users[places], items[places]
    starts = np.searchsorted(users, users)
    kept = np.arange(len(users)) - starts < first
    return users[kept], items[kept]
