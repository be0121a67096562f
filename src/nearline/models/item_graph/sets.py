"""Settings of the item graph for histories without order: sets of items.

Relations have neither direction nor decay: all pairs of a history count equally, and all events of
a user have the same weight in the score. Co-engagement can then express several simple models:

- cosine of items: exponents 0.5, 0.5 and 0 for the item of the history, the target and the user;
- RP3beta: exponents 1, beta and 1;
- the linear part of GF-CF: exponents 0.5, 0.5 and 1.
"""

from collections.abc import Iterable

from msgspec.structs import replace

from nearline.models.item_graph.config import (
    MAX_GAP,
    NO_DECAY,
    CoEngagement,
    ItemGraphConfig,
    Vectors,
)

# Neighbours of an item. More are useful than with decay, since a score sums over the whole history.
NEIGHBOURS = 600
# Exponents of the item of the history, of the target and of the number of a user's events.
DEFAULT = (0.7, 0.3, 1.0)
STARTS = ((1.0, 0.4, 1.0), (0.5, 0.5, 1.0), (0.5, 0.5, 0.0))
SHRINKAGE = 1.0


def for_sets(config: ItemGraphConfig, columns: Iterable[str] = ()) -> ItemGraphConfig:
    """Return settings without direction and decay; the result of this function is unchanged.

    `columns` are the names of the vector columns, each of which has a relation. Exponents,
    shrinkage and neighbours of co-engagement are also replaced if they have the defaults of ordered
    histories.
    """
    parts = {name: getattr(config, name) for name in ("coengagement", "content", "projected")}
    still = {name: replace(part, half_life=NO_DECAY) for name, part in parts.items()}
    given = {name: Vectors() for name in columns} | config.vectors
    vectors = {name: replace(part, half_life=NO_DECAY) for name, part in given.items()}
    pairs = replace(still.pop("coengagement"), window=MAX_GAP)
    if pairs == replace(CoEngagement(), half_life=NO_DECAY, window=MAX_GAP):
        pairs = _with_exponents(replace(pairs, neighbours=NEIGHBOURS, weight=1.0), DEFAULT)
    return replace(
        config,
        transitions=replace(config.transitions, weight=0.0, reach=0),
        coengagement=pairs,
        vectors=vectors,
        max_history=max(config.max_history, MAX_GAP),
        **still,
    )


def set_starts(config: ItemGraphConfig) -> list[ItemGraphConfig]:
    """Return the given settings and those of simple models, from which a search begins."""
    pairs = config.coengagement
    others = [_with_exponents(pairs, exponents) for exponents in STARTS]
    return [config, *(replace(config, coengagement=other) for other in others)]


def _with_exponents(pairs: CoEngagement, exponents: tuple[float, float, float]) -> CoEngagement:
    source, target, user = exponents
    return replace(
        pairs,
        source_exponent=source,
        exponent=target,
        user_exponent=user,
        shrinkage=SHRINKAGE,
    )
