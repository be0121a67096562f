"""Slow, obvious oracle of the scores by neighbours among sessions."""

from collections.abc import Sequence

from nearline.models.neighbours.session_settings import SessionKnnConfig
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


def two_step_scores(
    sessions: Sequence[Session], history: Sequence[int], config: SessionKnnConfig
) -> dict[int, dict[int, float]]:
    """Return the parts of the score of each item with a second step; see `session_scores`."""
    first = session_scores(sessions, history, config)
    scores = {item: sum(parts.values()) for item, parts in first.items()}
    best = sorted(scores, key=lambda item: (-scores[item], item))[: config.expanded]
    own = set(list(history)[-config.max_history :])
    second: dict[int, dict[int, float]] = {}
    for start in best:
        lists = {
            item: sum(parts.values())
            for item, parts in session_scores(sessions, [start], config).items()
        }
        total = sum(lists.values())
        for item in lists.keys() - own:
            parts = second.setdefault(item, {})
            for source, amount in first[start].items():
                parts[source] = parts.get(source, 0.0) + amount * lists[item] / total
    mass = sum(sum(parts.values()) for parts in second.values())
    common = config.second * sum(scores.values()) / mass if mass else 0.0
    found = {
        item: {source: (1 - config.second) * amount for source, amount in parts.items()}
        for item, parts in first.items()
    }
    for item, parts in second.items():
        mixed = found.setdefault(item, {})
        for source, amount in parts.items():
            mixed[source] = mixed.get(source, 0.0) + common * amount
    return found


def _repeat(age: int | None, config: SessionKnnConfig) -> float:
    if age is None:
        return 1.0
    if age == 0:
        return config.repeat_last
    return config.repeat if age <= 3 else config.repeat_older
