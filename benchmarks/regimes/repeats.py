"""The simple rule for users who repeat items: what they had most often, then what is trending."""

import numpy as np

from nearline.data import Dataset, Histories
from nearline.models.base import Ranking


class MostFrequent:
    """Ranks the items of a user by number of events, then all others by what is trending.

    Items that a user had equally often are in the order of trending, too.
    """

    def __init__(self, trend: np.ndarray) -> None:
        self._trend = trend / max(trend.max(), 1.0) * 0.5

    def recommend_from(self, histories: Histories, k: int, *, exclude_seen: bool = True) -> Ranking:
        """Return the k best items for each history."""
        items = np.zeros((len(histories), k), dtype=np.int32)
        scores = np.zeros((len(histories), k), dtype=np.float32)
        for user in range(len(histories)):
            seen = histories.row(user)
            counts = np.bincount(seen, minlength=len(self._trend)).astype(np.float64)
            total = np.where(counts > 0, -1.0 if exclude_seen else counts, 0.0) + self._trend
            best = np.argsort(-total, kind="stable")[:k]
            items[user], scores[user] = best, total[best]
        return Ranking(items, scores)


def most_frequent(train: Dataset, half_life: float) -> MostFrequent:
    """Return the rule, with trending items of a half-life in seconds."""
    rows = train.histories
    decay = np.exp2((rows.times - rows.times.max()) / half_life) * np.maximum(rows.weights, 0.0)
    return MostFrequent(np.bincount(rows.items, decay, minlength=train.n_items))
