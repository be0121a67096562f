"""Settings of the item graph: one class for each kind of relation."""

from typing import Any, Self
from urllib.parse import quote, unquote

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from nearline.encoders.reading import LANGUAGE, READINGS
from nearline.encoders.tfidf import TfIdfConfig
from nearline.errors import InvalidInput
from nearline.models.item_graph.attribute_config import AttributeSettings
from nearline.models.item_graph.time_config import Lately, Repeats
from nearline.models.settings import require, require_each, require_one_of

# Names of the relations; a relation of vectors is named after its column.
TRANSITIONS, COENGAGEMENT, CONTENT = "transitions", "coengagement", "content"
PROJECTED = "projected"
VECTOR_PREFIX = "vector:"

# Upper bounds that several settings share. A pair of events counts at gaps up to `MAX_GAP`, so a
# history of n events forms at most ``n * MAX_GAP`` pairs in each direction.
MAX_GAP = 1_000
MAX_NEIGHBOURS = 10_000
MAX_NUMBER = 1e9
# A half-life of this or more is none: events do not decay.
NO_DECAY = MAX_NUMBER
MAX_EXPONENT = 100.0
MAX_NAMES = 1_000


def array_key(relation: str) -> str:
    """Return the prefix of the names of a relation's arrays, in which its name is escaped."""
    return quote(relation, safe=":")


def relation_of(key: str) -> str:
    """Return the name of the relation whose `array_key` is `key`."""
    return unquote(key)


def _check_relation(settings: Struct, *exponents: str) -> None:
    """Check the settings that all relations have, and their exponents."""
    require(settings, "weight", 0, MAX_NUMBER)
    require(settings, "half_life", 0, MAX_NUMBER)
    require(settings, "neighbours", 0, MAX_NEIGHBOURS)
    for field in exponents:
        require(settings, field, -MAX_EXPONENT, MAX_EXPONENT)


class Transitions(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Settings of the directed relation "item B follows item A" in histories.

    Attributes
    ----------
    weight : float
        Weight of the relation in the score, after all relations are scaled to the same sum of
        edges.
    half_life : float
        Number of later events after which the weight of an event is halved; 1e9 for no decay.
    reach : int
        Maximum gap, in events, between two items that form a pair; 0 disables the relation.
    gap_power : float
        Exponent by which pairs decay: a pair at gap g counts as ``1 / g ** gap_power``.
    backward : float
        Weight of a pair against the order of time, relative to a pair in this order.
    source_exponent, target_exponent : float
        Exponents a and b: counts are divided by ``n_source ** a * n_target ** b + shrinkage``,
        where n is the sum of the squared event weights of an item.
    shrinkage : float
        A larger number keeps pairs of rare items from being overrated, if exponents are large.
    neighbours : int
        Maximum number of edges of an item.
    """

    weight: float = 1.0
    half_life: float = 1.1
    reach: int = 100
    gap_power: float = 0.6
    backward: float = 0.14
    source_exponent: float = 0.08
    target_exponent: float = 0.12
    shrinkage: float = 1.0
    neighbours: int = 300

    def __post_init__(self) -> None:
        _check_relation(self, "gap_power", "source_exponent", "target_exponent")
        require(self, "reach", 0, MAX_GAP)
        require(self, "shrinkage", 0, MAX_NUMBER)
        require(self, "backward", 0, MAX_NUMBER)


class CoEngagement(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Settings of the symmetric relation "used by the same users", a cosine with shrinkage.

    Attributes
    ----------
    weight, half_life, neighbours
        As in `Transitions`.
    window : int
        Maximum gap, in events, between two items of a user that form a pair; it limits the time for
        very long histories.
    shrinkage : float
        Number that is added to each item's sum of squared event weights n, so that pairs of rare
        items are not overrated.
    exponent : float
        Counts are divided by ``((n_i + shrinkage) * (n_j + shrinkage)) ** exponent``. 0.5 is the
        cosine; smaller values favour popular items.
    source_exponent : float or None
        Exponent of the first factor instead, which belongs to the item of the history; None for
        `exponent`.
    user_exponent : float
        The pairs of a user with n events are divided by ``n ** user_exponent``, with n rounded to
        a power of 2 ** (1/4), so that the pairs of very active users count less.
    """

    weight: float = 0.7
    half_life: float = 1.6
    neighbours: int = 300
    window: int = 250
    shrinkage: float = 5.0
    exponent: float = 0.41
    source_exponent: float | None = None
    user_exponent: float = 0.0

    def __post_init__(self) -> None:
        _check_relation(self, "exponent", "user_exponent")
        if self.source_exponent is not None:
            _check_relation(self, "source_exponent")
        require(self, "window", 1, MAX_GAP)
        require(self, "shrinkage", 0, MAX_NUMBER)


class ContentSettings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Settings of the relation "similar text", a power of the cosine of TF-IDF vectors.

    Attributes
    ----------
    weight, half_life, neighbours
        As in `Transitions`.
    power : float
        Exponent of the cosine; values above 1 favour the nearest items.
    longest : int
        Maximum length of word n-grams.
    reading : str
        How texts are read: "language" folds accents, reads scripts without spaces by their
        characters, and leaves out the function words and endings of the text's own language;
        "words" takes sequences of letters as they are. A search keeps the one that is better on
        validation data.
    """

    weight: float = 1.2
    half_life: float = 2.0
    neighbours: int = 100
    power: float = 0.85
    longest: int = 2
    reading: str = LANGUAGE

    def __post_init__(self) -> None:
        _check_relation(self, "power")
        require(self, "longest", 1, 5)
        require_one_of(self, "reading", READINGS)

    @property
    def terms(self) -> TfIdfConfig:
        """Settings of the terms of texts."""
        return TfIdfConfig(longest=self.longest, reading=self.reading)


class Vectors(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Settings of the relation "similar vectors"; there is one for each vector column.

    Attributes
    ----------
    weight, half_life, neighbours, power
        As in `ContentSettings`. The cosines of dense vectors are close to each other; a power
        increases their differences.
    """

    weight: float = 0.5
    half_life: float = 2.0
    neighbours: int = 100
    power: float = 3.0

    def __post_init__(self) -> None:
        _check_relation(self, "power")


class Projected(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Settings of the relation "similar predicted users": content projected to factors of users.

    Attributes
    ----------
    weight, half_life, neighbours, power
        As in `Vectors`.
    factors : int
        Number of collaborative factors.
    ridge : float
        Ridge penalty of the projection.
    fewest : int
        Minimum number of items with events; with fewer, the projection would overfit and is not
        used.
    most : int
        Maximum number of items; with more, the relation is not used, since it compares all pairs.
    """

    weight: float = 0.9
    half_life: float = 2.6
    neighbours: int = 200
    power: float = 1.5
    factors: int = 128
    ridge: float = 3.0
    fewest: int = 100
    most: int = 200_000

    def __post_init__(self) -> None:
        _check_relation(self, "power")
        require(self, "factors", 1, 1_024)
        require(self, "ridge", 0, MAX_NUMBER, above=True)
        require(self, "fewest", 0, 1e15)
        require(self, "most", 0, 1_000_000)


FromContent = ContentSettings | Projected | Vectors
Relation = Transitions | CoEngagement | FromContent


class Search(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Budget of the hyper-parameter search.

    Attributes
    ----------
    evaluations : int
        Maximum number of settings that are evaluated; 0 disables the search.
    events : int
        Maximum total number of events in the histories of the validation users.
    cutoff : int
        Length k of the lists whose NDCG@k is maximised.
    """

    evaluations: int = 160
    events: int = 150_000
    cutoff: int = 10

    def __post_init__(self) -> None:
        require(self, "evaluations", 0, 100_000)
        require(self, "events", 1, 1_000_000_000)
        require(self, "cutoff", 1, 10_000)


class ItemGraphConfig(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Settings of `ItemGraph`; the defaults suit data in which the latest events matter most.

    Attributes
    ----------
    transitions, coengagement, content, projected
        Settings of each relation.
    vectors : dict of str to Vectors
        Settings of the relation of each vector column; columns that are not given have the
        defaults.
    lately : Lately
        What is popular lately, in the score of users who return; chosen by `fit` where interactions
        have real times.
    repeats : Repeats
        The user's own items in lists that include them; chosen by `fit` like `lately`.
    attributes : AttributeSettings
        What people with the same attributes take; chosen by `fit` where users have attributes.
    counts : int
        Maximum number of pairs of an item whose counts are stored for online updates; the largest
        counts are kept. For items with at most so many pairs, online updates are exact.
    max_history : int
        Number of a user's most recent events that the score is based on.
    scales : dict of str to float
        Factor of the edges of each relation, in addition to its weight; by default, edges are
        scaled so that the mean of their sums per item is one. A search stores the scales, so that
        the weights that it chose remain valid for a longer log, which has larger counts.
    search : Search
        Budget of the search by `fit` if there is validation data.
    """

    transitions: Transitions = Transitions()
    coengagement: CoEngagement = CoEngagement()
    content: ContentSettings = ContentSettings()
    projected: Projected = Projected()
    vectors: dict[str, Vectors] = {}
    lately: Lately = Lately()
    repeats: Repeats = Repeats()
    attributes: AttributeSettings = AttributeSettings()
    counts: int = 2_048
    max_history: int = 200
    scales: dict[str, float] = {}
    search: Search = Search()

    def __post_init__(self) -> None:
        if self.repeats.lately_half_life not in self.lately.half_lives:
            raise InvalidInput(
                f"repeats.lately_half_life is {self.repeats.lately_half_life}; it must be one of "
                "lately.half_lives",
                field="repeats",
            )
        require(self, "counts", 1, 100_000)
        require(self, "max_history", 1, 100_000)
        require_each(self, "scales", 0, 1e300, most=MAX_NAMES)
        if len(self.vectors) > MAX_NAMES:
            raise InvalidInput(
                f"there are settings of {len(self.vectors):,} vector columns; at most "
                f"{MAX_NAMES:,} are allowed",
                field="vectors",
            )

    def relation(self, name: str) -> "Relation":
        """Return the settings of a relation by its name."""
        if name.startswith(VECTOR_PREFIX):
            return self.vectors.get(name.removeprefix(VECTOR_PREFIX), Vectors())
        settings: Relation = getattr(self, name)
        return settings

    def with_relation(self, name: str, settings: "Relation") -> Self:
        """Return a copy with other settings of one relation."""
        if name.startswith(VECTOR_PREFIX):
            column = {name.removeprefix(VECTOR_PREFIX): settings}
            return replace(self, vectors=self.vectors | column)
        return replace(self, **{name: settings})

    @classmethod
    def from_builtins(cls, values: dict[str, Any]) -> Self:
        """Create settings from nested dicts, as read from JSON or a manifest.

        Raises
        ------
        InvalidInput
            A field is unknown or has the wrong type.
        """
        try:
            return msgspec.convert(values, cls)
        except msgspec.ValidationError as error:
            raise InvalidInput(f"item graph settings: {error}") from None
