"""Slow, obvious oracle of the scores by neighbours among sessions."""

from collections.abc import Sequence

from nearline.models.neighbours.session_knn import SessionKnnConfig
from nearline.schema import DAY

Session = tuple[Sequence[int], float]


def session_scores(
    sessions: Sequence[Session], history: Sequence[int], config: SessionKnnConfig
) -> dict[int, dict[int, float]]:
    """Return the part of the score of each item that each item of the history adds.

    The sessions, items and time of each, are in the order in which they were added.
    """
    of_item = {item: [s for s in sessions if item in s[0]] for s in sessions for item in s[0]}
    recent = list(history)[-config.max_history :]
    ages = {item: len(recent) - 1 - place for place, item in enumerate(recent)}
    weights = {
        item: 0.5 ** (age / config.half_life)
        * (len(of_item.get(item, [])) + 1) ** -config.source_exponent
        for item, age in ages.items()
    }
    near = [s for s in sessions if set(s[0]) & set(recent)]
    newest = max((time for _, time in near), default=0.0)
    found: dict[int, dict[int, float]] = {}
    for items, time in near:
        if len(items) == len(history) and set(items) <= set(recent):
            continue
        shared = set(items) & set(recent)
        total = sum(weights[item] for item in shared)
        value = total**config.power * len(items) ** -config.length_exponent
        if config.recency:
            value *= 0.5 ** ((newest - time) / (config.recency * DAY))
        first = min(shared, key=lambda item: ages[item])
        anchor = max(place for place, item in enumerate(items) if item == first)
        for place, item in enumerate(items):
            distance = place - anchor
            if abs(distance) > config.reach:
                continue
            amount = value * max(abs(distance), 1) ** -config.gap_power
            amount *= config.backward if distance < 0 else 1.0
            amount *= (len(of_item[item]) + 1) ** -config.target_exponent
            amount *= _repeat(ages.get(item), config)
            for source in shared:
                parts = found.setdefault(item, {})
                parts[source] = parts.get(source, 0.0) + amount * weights[source] / total
    return found


def _repeat(age: int | None, config: SessionKnnConfig) -> float:
    if age is None:
        return 1.0
    if age == 0:
        return config.repeat_last
    return config.repeat if age <= 3 else config.repeat_older
