"""Settings of the item graph: one struct a relation, each with its weight and half-life."""

from typing import Any, Self
from urllib.parse import quote, unquote

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from nearline.errors import InvalidInput

# Relations by name; one of vectors is called after its column.
TRANSITIONS, COENGAGEMENT, CONTENT = "transitions", "coengagement", "content"
PROJECTED = "projected"
VECTOR_PREFIX = "vector:"


def array_key(relation: str) -> str:
    """Return the prefix of a relation's arrays in a snapshot: names may hold any characters."""
    return quote(relation, safe=":")


def relation_of(key: str) -> str:
    """Return the relation whose `array_key` is `key`."""
    return unquote(key)


class Transitions(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Directed relation "B follows A": decays with the gap, weaker backwards.

    Attributes
    ----------
    weight : float
        Share in the score; every relation is scaled to the same total mass first.
    half_life : float
        Events after which an event of the history counts half.
    reach : int
        Largest gap, in events, between two items that count as a pair.
    gap_power : float
        A pair at gap g counts ``1 / g ** gap_power``.
    backward : float
        What a pair counts against the direction of time, relative to forward.
    source_exponent, target_exponent : float
        Counts are divided by ``n_source ** a * n_target ** b + 1``, n the item's squared weights.
    neighbours : int
        Edges kept a row.
    """

    weight: float = 1.0
    half_life: float = 1.1
    reach: int = 100
    gap_power: float = 0.6
    backward: float = 0.14
    source_exponent: float = 0.08
    target_exponent: float = 0.12
    neighbours: int = 300


class CoEngagement(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Symmetric relation "the same users": a cosine with shrinkage.

    Attributes
    ----------
    weight, half_life, neighbours
        As in `Transitions`.
    window : int
        Largest gap, in events, between two items of one user that count as a pair: bounds the
        cost of very long histories.
    shrinkage : float
        Added to each item's squared weights, so that pairs of rare items do not win by accident.
    exponent : float
        Counts are divided by ``((n_i + shrinkage) * (n_j + shrinkage)) ** exponent``; 0.5 is the
        cosine, less favours popular items.
    """

    weight: float = 0.7
    half_life: float = 1.6
    neighbours: int = 300
    window: int = 250
    shrinkage: float = 5.0
    exponent: float = 0.41


class ContentSettings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Relation "similar text": TF-IDF cosine to a power.

    Attributes
    ----------
    weight, half_life, neighbours
        As in `Transitions`.
    power : float
        Exponent of the cosine: above 1 favours the nearest.
    longest : int
        Longest run of words that is a term.
    """

    weight: float = 1.2
    half_life: float = 2.0
    neighbours: int = 100
    power: float = 0.85
    longest: int = 2


class Vectors(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Relation "similar vectors", one for each vector column of the items.

    Attributes
    ----------
    weight, half_life, neighbours, power
        As in `ContentSettings`. Cosines of dense vectors lie close together: a power spreads them.
    """

    weight: float = 0.5
    half_life: float = 2.0
    neighbours: int = 100
    power: float = 3.0


class Projected(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Relation "content whose buyers are near": words and vectors mapped to where buyers are.

    Attributes
    ----------
    weight, half_life, neighbours, power
        As in `Vectors`.
    factors : int
        Size of the space that the map leads to.
    ridge : float
        Penalty on the map's weights.
    fewest : int
        Items with events below which nothing is mapped: too few would be learned by heart.
    most : int
        Items above which nothing is mapped: neighbours are found by comparing every pair.
    """

    weight: float = 0.9
    half_life: float = 2.6
    neighbours: int = 200
    power: float = 1.5
    factors: int = 128
    ridge: float = 3.0
    fewest: int = 100
    most: int = 200_000


FromContent = ContentSettings | Projected | Vectors
Relation = Transitions | CoEngagement | FromContent


class Search(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How far the search for hyper-parameters goes.

    Attributes
    ----------
    evaluations : int
        Settings tried at most; 0 keeps the configuration as it stands.
    events : int
        Users are drawn for validation until their histories hold so many events.
    cutoff : int
        Length k of the lists whose NDCG@k is maximised.
    """

    evaluations: int = 160
    events: int = 150_000
    cutoff: int = 10


class ItemGraphConfig(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Settings of `ItemGraph`; the defaults suit catalogues where what came last matters most.

    Attributes
    ----------
    transitions, coengagement, content, projected
        One struct a relation.
    vectors : dict of str to Vectors
        One struct a vector column, by its name; a column that is not named has the defaults.
    counts : int
        Pairs of an item whose counts are kept beside its edges, the largest first, so that live
        events add to them. Counts are exact for items with no more pairs than this.
    max_history : int
        Only so many of a user's most recent events are scored.
    scales : dict of str to float
        What the edges of each relation are multiplied by beside its weight. A relation that is not
        named is given a mass of one an item. Written by a search, so that weights found on one log
        mean the same on a longer one, where counts weigh more.
    search : Search
        Used by `fit` where it is given validation data.
    """

    transitions: Transitions = Transitions()
    coengagement: CoEngagement = CoEngagement()
    content: ContentSettings = ContentSettings()
    projected: Projected = Projected()
    vectors: dict[str, Vectors] = {}
    counts: int = 2_048
    max_history: int = 200
    scales: dict[str, float] = {}
    search: Search = Search()

    def relation(self, name: str) -> "Relation":
        """Return the settings of a relation."""
        if name.startswith(VECTOR_PREFIX):
            return self.vectors.get(name.removeprefix(VECTOR_PREFIX), Vectors())
        settings: Relation = getattr(self, name)
        return settings

    def with_relation(self, name: str, settings: "Relation") -> Self:
        """Return the same with other settings of one relation."""
        if name.startswith(VECTOR_PREFIX):
            column = {name.removeprefix(VECTOR_PREFIX): settings}
            return replace(self, vectors=self.vectors | column)
        return replace(self, **{name: settings})

    @classmethod
    def from_builtins(cls, values: dict[str, Any]) -> Self:
        """Build from nested dicts, as they stand in JSON or a manifest.

        Raises
        ------
        InvalidInput
            A field is unknown or has the wrong type.
        """
        try:
            return msgspec.convert(values, cls)
        except msgspec.ValidationError as error:
            raise InvalidInput(f"item graph settings: {error}") from None
