"""Slow, obvious oracles: what the kernels compute, in the words of their definitions."""

import math
from collections import defaultdict
from collections.abc import Sequence

Row = Sequence[int]


def top_k(scores: dict[int, float], k: int, *, above: float = -math.inf) -> list[tuple[int, float]]:
    """The k best of some items, higher score first, then lower index."""
    kept = [(item, score) for item, score in scores.items() if score > above]
    return sorted(kept, key=lambda pair: (-pair[1], pair[0]))[:k]


def pair_totals(
    rows: Sequence[Row],
    weights: Sequence[Sequence[float]],
    forward: Sequence[float],
    backward: Sequence[float],
) -> dict[int, dict[int, float]]:
    """Weighted counts of every ordered pair of different items near each other in a row."""
    totals: dict[int, dict[int, float]] = defaultdict(lambda: defaultdict(float))
    for row, row_weights in zip(rows, weights, strict=True):
        for a, item in enumerate(row):
            for b, other in enumerate(row):
                gap = abs(b - a)
                if gap == 0 or gap > len(forward) or item == other or min(item, other) < 0:
                    continue
                kernel = forward[gap - 1] if b > a else backward[gap - 1]
                amount = kernel * row_weights[a] * row_weights[b]
                if amount > 0:
                    totals[item][other] += amount
    return totals


def graph_scores(
    relations: Sequence[dict[int, dict[int, float]]],
    weights: Sequence[float],
    half_lives: Sequence[float],
    history: Row,
    event_weights: Sequence[float],
    n_items: int,
) -> list[float]:
    """Score of every item: a decayed sum over the history, the age counted in known events."""
    scores = [0.0] * n_items
    known = [
        (item, weight) for item, weight in zip(history, event_weights, strict=True) if item >= 0
    ]
    for age, (item, event_weight) in enumerate(reversed(known)):
        for relation, weight, half_life in zip(relations, weights, half_lives, strict=True):
            for other, value in relation.get(item, {}).items():
                scores[other] += weight * 0.5 ** (age / half_life) * event_weight * value
    return scores


def ndcg(ranks: Sequence[Sequence[int]], k: int) -> float:
    """Mean over users of the discounted gain of their targets' ranks, against the best possible."""
    values = []
    for row in ranks:
        gain = sum(1 / math.log2(rank + 2) for rank in row if rank < k)
        ideal = sum(1 / math.log2(rank + 2) for rank in range(min(len(row), k)))
        values.append(gain / ideal)
    return sum(values) / len(values)
