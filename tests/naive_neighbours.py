"""Slow, obvious oracles of neighbourhoods: from their definitions, pair by pair."""

import math
from collections.abc import Sequence

import numpy as np

Sets = Sequence[Sequence[int]]
Ratings = Sequence[dict[int, float]]
Near = list[tuple[int, float]]


def document_weights(sets: Sets, measure: str, k1: float, b: float) -> list[dict[int, float]]:
    """Weight of each feature in each set: 1, TF-IDF or BM25."""
    n = len(sets)
    mean_size = sum(map(len, sets)) / n
    found = []
    for features in sets:
        weights = {}
        for feature in features:
            df = sum(feature in other for other in sets)
            idf = max(0.0, math.log(n / (1 + df)))
            length = 1 - b + b * len(features) / mean_size
            saturated = (k1 + 1) / (k1 * length + 1)
            weights[feature] = {"cosine": 1.0, "tfidf": idf, "bm25": idf * saturated}[measure]
        found.append(weights)
    return found


def set_similarity(
    one: dict[int, float], two: dict[int, float], measure: str, shrinkage: float
) -> float:
    """Inner product or cosine of two weighted sets, shrunken where they share little."""
    common = one.keys() & two.keys()
    product = sum(one[f] * two[f] for f in common)
    if not common or product == 0:
        return 0.0
    if measure != "bm25":
        norms = (math.sqrt(sum(w * w for w in weights.values())) for weights in (one, two))
        product /= math.prod(norms)
    return product * len(common) / (len(common) + shrinkage)


def rating_similarity(
    one: dict[int, float], two: dict[int, float], centred: bool, shrinkage: float
) -> float:
    """Cosine, or Pearson's correlation, over the columns that both have."""
    common = sorted(one.keys() & two.keys())
    if not common:
        return 0.0
    x, y = (np.array([row[c] for c in common], dtype=np.float64) for row in (one, two))
    if centred:
        x, y = x - x.mean(), y - y.mean()
    norms = float(np.sqrt((x @ x) * (y @ y)))
    if norms < 1e-9:
        return 0.0
    n = len(common)
    trust = (n - 1) / (n - 1 + shrinkage) if shrinkage > 0 else 1.0
    return trust * float(x @ y) / norms


def nearest(similarities: dict[int, float], k: int | None, threshold: float) -> Near:
    """Those above the threshold, best first, ties by index; at most k."""
    kept = [(i, float(np.float32(s))) for i, s in similarities.items()]
    kept = [(i, s) for i, s in kept if s > threshold]
    return sorted(kept, key=lambda pair: (-pair[1], pair[0]))[:k]


def columns(ratings: Ratings, n_items: int) -> list[dict[int, float]]:
    """Ratings by item."""
    return [
        {user: row[item] for user, row in enumerate(ratings) if item in row}
        for item in range(n_items)
    ]


def baseline(
    ratings: Ratings, n_items: int, item_l2: float, user_l2: float, sweeps: int
) -> tuple[float, list[float], list[float]]:
    """Mean, and biases of users and items, settled in turns."""
    every = [r for row in ratings for r in row.values()]
    mean = sum(every) / len(every)
    users, items = [0.0] * len(ratings), [0.0] * n_items
    for _ in range(sweeps):
        for item, column in enumerate(columns(ratings, n_items)):
            left = sum(r - mean - users[user] for user, r in column.items())
            items[item] = left / (item_l2 + len(column)) if column else 0.0
        for user, row in enumerate(ratings):
            left = sum(r - mean - items[item] for item, r in row.items())
            users[user] = left / (user_l2 + len(row)) if row else 0.0
    return mean, users, items


def predictions(
    ratings: Ratings,
    n_items: int,
    *,
    by_user: bool,
    measure: str,
    prediction: str,
    k: int | None,
    threshold: float,
    shrinkage: float,
    l2: tuple[float, float] = (10.0, 15.0),
    sweeps: int = 10,
) -> np.ndarray:
    """Every user's rating of every item, not clipped: float64 [n_users, n_items]."""
    mean, b_u, b_i = baseline(ratings, n_items, *l2, sweeps)
    by_item = columns(ratings, n_items)
    every = np.array([r for row in ratings for r in row.values()])

    def moments(row: dict[int, float]) -> tuple[float, float]:
        values = np.array(list(row.values()))
        spread = float(values.std()) if len(values) else 0.0
        overall = float(every.std()) or 1.0
        return float(values.mean()) if len(values) else mean, spread if spread > 0 else overall

    users, items = [moments(row) for row in ratings], [moments(col) for col in by_item]

    def residual(user: int, item: int) -> float:
        rating = ratings[user][item]
        if measure == "pearson_baseline":
            return rating - mean - b_u[user] - b_i[item]
        if measure == "adjusted_cosine":
            return rating - (items[item] if by_user else users[user])[0]
        return rating

    residuals = [{item: residual(user, item) for item in row} for user, row in enumerate(ratings)]
    rows = residuals if by_user else columns(residuals, n_items)

    def frame(user: int, item: int) -> tuple[float, float]:
        own = users[user] if by_user else items[item]
        return {
            "average": (0.0, 1.0),
            "mean": (own[0], 1.0),
            "zscore": own,
            "baseline": (mean + b_u[user] + b_i[item], 1.0),
        }[prediction]

    out = np.empty((len(ratings), n_items))
    for user in range(len(ratings)):
        for item in range(n_items):
            me = user if by_user else item
            pairs = (
                [(v, item) for v in by_item[item]]
                if by_user
                else [(user, i) for i in ratings[user]]
            )
            found = {}
            for v, i in pairs:
                other = v if by_user else i
                if by_user or other != me:
                    found[other] = rating_similarity(
                        rows[me], rows[other], measure == "pearson", shrinkage
                    )
            near = nearest(found, k, threshold)
            if not near:
                out[user, item] = mean + b_u[user] + b_i[item]
                continue
            total = 0.0
            for other, similarity in near:
                v, i = (other, item) if by_user else (user, other)
                offset, scale = frame(v, i)
                total += similarity * (ratings[v][i] - offset) / scale
            offset, scale = frame(user, item)
            out[user, item] = offset + scale * total / sum(s for _, s in near)
    return out
