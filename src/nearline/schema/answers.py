"""Answers of the engine: lists, explanations and user summaries."""

from collections.abc import Iterable
from typing import Any

from msgspec import Struct
from msgspec.structs import force_setattr

from nearline.notebook import explanation_html, list_html, scores_html
from nearline.notebook.values import Title, no_title
from nearline.schema.records import AttributeValue, Critique, Scalar
from nearline.schema.tabular import tabular

# Suffix of the tier of a line whose position a language model chose.
RERANKED = "+llm"


@tabular
class ScoredItem(Struct, frozen=True, omit_defaults=True):
    """An item and its score. Higher scores are better; compare them only within one answer.

    Attributes
    ----------
    fields : dict
        Fields and attributes of the catalogue that the request asks for, if the item has them.
    """

    item_id: str
    score: float
    fields: dict[str, AttributeValue] = {}


@tabular
class Recommendation(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One line of a list of recommendations.

    Attributes
    ----------
    tier : str
        Tier that produced the line: ``personal``, ``session``, ``stated``, ``attributes``,
        ``context``, ``trending`` or ``popular``; with the suffix ``+llm`` if a language model chose
        the position of the line.
    reasons : tuple of Part
        Largest parts of the score; empty unless the request has ``explain=True``.
    factor : float or None
        Factor of the request's boost, which the score and the reasons contain; None unless the
        request has a boost and ``explain=True``.
    fields : dict
        Fields and attributes of the catalogue that the request asks for, if the item has them.
    propensity : float or None
        Probability with which a policy that explores put the item here, given the lines above;
        None if none explores.
    explored : bool
        Whether the item is here because of exploration.
    variant : str or None
        Variant of an experiment that interleaves two lists, to which the line counts.
    """

    item_id: str
    score: float
    tier: str
    reasons: "tuple[Part, ...]" = ()
    factor: float | None = None
    fields: dict[str, AttributeValue] = {}
    propensity: float | None = None
    explored: bool = False
    variant: str | None = None


@tabular
class Part(Struct, frozen=True, kw_only=True):
    """One term of the sum that makes up a score.

    Attributes
    ----------
    source : str
        ID of the item of the history that contributes the term; empty if no single item does.
    relation : str
        Relation between the source and the item, such as ``transitions``, ``coengagement``,
        ``content`` or ``vector:NAME``. For a line that is not based on a history: its tier.
    amount : float
        Value of the term.
    """

    source: str
    relation: str
    amount: float


class CritiqueOut(
    Struct, frozen=True, kw_only=True, omit_defaults=True, rename={"not_item": "not"}
):
    """A critique that holds; see `nearline.schema.Critique`."""

    critique_id: str
    timestamp: float
    lasting: bool
    more_like: str | None = None
    not_item: str | None = None
    less_of: dict[str, Scalar] | None = None

    @classmethod
    def of(cls, said: Critique) -> "CritiqueOut":
        """Create the answer from the record."""
        return cls(**{name: getattr(said, name) for name in cls.__struct_fields__})


class Explanation(Struct, frozen=True, kw_only=True, omit_defaults=True, dict=True):
    """Explanation of the score of one item for one user.

    Attributes
    ----------
    factor : float or None
        Factor of the boost, which the score and its parts contain; None without a boost.
    words : str
        A sentence that describes the largest parts; empty unless requested with ``words=True``.
    worded_by : str
        Author of `words`: ``llm``, or ``template`` if no language model answered in time.
    critiques : tuple of CritiqueOut
        Critiques of the user that are about the item.
    """

    user_id: str
    item_id: str
    score: float
    tier: str
    parts: tuple[Part, ...]
    factor: float | None = None
    words: str = ""
    worded_by: str = ""
    critiques: tuple[CritiqueOut, ...] = ()

    def titled(self, title: Title) -> "Explanation":
        """Keep a function that returns titles of items, which notebooks show; return `self`."""
        force_setattr(self, "title", title)
        return self

    def _repr_html_(self) -> str:
        return explanation_html(self, self.__dict__.get("title", no_title))


@tabular
class PastEvent(Struct, frozen=True, kw_only=True):
    """One event of a history: its item, its event weight and its time in Unix seconds."""

    item_id: str
    weight: float
    timestamp: float


class UserSummary(Struct, frozen=True, kw_only=True):
    """A user: attributes, and the history of recommendations, most recent event first.

    If the user objects to profiling, `profiling` is false, and the history is empty.
    """

    user_id: str
    history: tuple[PastEvent, ...]
    attributes: dict[str, AttributeValue] = {}
    profiling: bool = True


class ConsentOut(Struct, frozen=True, kw_only=True):
    """What a user allows; `timestamp` (Unix seconds) is null if the user never chose."""

    user_id: str
    profiling: bool
    purposes: list[str]
    timestamp: float | None


class ErasureReceipt(Struct, frozen=True, kw_only=True):
    """Receipt of an erasure.

    Attributes
    ----------
    user : str
        Keyed hash of the ID, so that only the store can tell which user the receipt is about.
    erased : int
        Number of erased records.
    lists : int
        Number of erased entries of the served log: lists, and what was seen of them.
    timestamp : float
        Unix seconds.
    offset, erasures : int
        Offset of the log, and number of erasures in it, after the erasure.
    nothing_left : bool
        Whether log, state and served log were found to have nothing about the user after the
        erasure.
    token : str
        The receipt with a signature of the store.
    """

    user: str
    erased: int
    lists: int
    timestamp: float
    offset: int
    erasures: int
    nothing_left: bool
    token: str


class InterestTag(Struct, frozen=True, kw_only=True):
    """A tag of a user's profile: a category, or ``name=value`` of an attribute.

    `weight` is its share of the weights of all tags of the history.
    """

    tag: str
    weight: float
    items: int


class Answer(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A list of recommendations for one user or session.

    Attributes
    ----------
    recommendation_id : str
        ID to send with later events, so that they can be attributed to this list.
    user_id : str or None
        None for a session without an account.
    tier : str
        Tier of the first line; it ends in ``+llm`` if and only if a language model reordered the
        top of the list.
    model : str
        Snapshot ID of the model; ``untrained`` if there is none.
    offset : int
        The list reflects every log record before this offset.
    rules : tuple of str
        Names of the merchandising rules that fired, in alphabetical order: the pins that the list
        shows, and the rules to bury or to scale that select at least one item that it may contain.
    because : str or None
        ID of the item of the history from which a list was made whose scenario asks for one.
    next : str or None
        Cursor of the next page, to send as `cursor` with an otherwise equal request; None if the
        list has fewer items than requested, so that there are no more.
    variant : str or None
        Variant of the experiment that the list is part of; of the first one, in alphabetical order,
        if there are several.
    experiments : dict of str to str
        Variant of each experiment that the list is part of.
    policy : str or None
        Method of exploration, if the list explores.
    chosen, chosen_propensity : str and float, or None
        Policy that the scenario chose, if it chooses among policies, and its probability.
    """

    recommendation_id: str
    user_id: str | None
    items: tuple[Recommendation, ...]
    tier: str
    model: str
    offset: int
    rules: tuple[str, ...]
    because: str | None
    next: str | None
    variant: str | None = None
    experiments: dict[str, str] = {}
    policy: str | None = None
    chosen: str | None = None
    chosen_propensity: float | None = None


class _ShowsTitles:
    """A value with a function that returns titles of items, which notebooks show."""

    _title: Title = staticmethod(no_title)

    def __getstate__(self) -> dict[str, Any]:
        # The function belongs to an engine, which cannot be copied or stored.
        return {name: value for name, value in self.__dict__.items() if name != "_title"}


class ScoredList(_ShowsTitles, list[ScoredItem]):
    """List of scored items, which notebooks show as a table with titles.

    Attributes
    ----------
    rules : tuple of str
        Names of the rules that fired, in alphabetical order.
    next : str or None
        Cursor of the next page; None if there is none.
    """

    def __init__(
        self, items: Iterable[ScoredItem], rules: tuple[str, ...] = (), next: str | None = None
    ) -> None:
        super().__init__(items)
        self.rules = rules
        self.next = next

    def titled(self, title: Title) -> "ScoredList":
        """Keep a function that returns titles of items; return `self`."""
        self._title = title
        return self

    def _repr_html_(self) -> str:
        return scores_html(self, self._title)


class TitledList(_ShowsTitles, list[Recommendation]):
    """List of recommendations, which notebooks show with titles and the parts of each score."""

    def __init__(
        self, lines: Iterable[Recommendation], caption: str, title: Title = no_title
    ) -> None:
        super().__init__(lines)
        self._caption = caption
        self._title = title

    def _about(self) -> list[tuple[str, object]]:
        return []

    def _repr_html_(self) -> str:
        return list_html(self._caption, self, self._about(), self._title)


class RecommendationList(TitledList):
    """List of recommendations that also has the answer from which it was taken.

    Attributes
    ----------
    answer : Answer
        The list with its ID, tier, model, offset and the cursor of the next page.
    """

    def __init__(self, answer: Answer, title: Title = no_title) -> None:
        super().__init__(answer.items, f"For {answer.user_id or 'a session'}", title)
        self.answer = answer

    @property
    def next(self) -> str | None:
        """Cursor of the next page; None if there are no more items."""
        return self.answer.next

    def _about(self) -> list[tuple[str, object]]:
        answer = self.answer
        about: list[tuple[str, object]] = [("model", answer.model)]
        about += [("offset", f"{answer.offset:,}")]
        if answer.rules:
            about.append(("rules", ", ".join(answer.rules)))
        return about


@tabular
class ScoredUser(Struct, frozen=True, kw_only=True):
    """A user and the score of an item for this user; compare scores only within one answer."""

    user_id: str
    score: float


class ListedItem(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """An item of a listing: its entry without vectors, or its ID alone if it has no entry."""

    item_id: str
    timestamp: float | None = None
    text: str = ""
    title: str = ""
    categories: list[str] = []
    attributes: dict[str, AttributeValue] = {}
    available: bool = True
    expires_at: float | None = None


class TrendDay(Struct, frozen=True, kw_only=True):
    """A day: its start in Unix seconds, and the number of events."""

    start: float
    events: int


class ItemTrend(Struct, frozen=True, kw_only=True):
    """Events on an item in consecutive days of UTC, the oldest first."""

    item_id: str
    days: tuple[TrendDay, ...]


class ItemPage(Struct, frozen=True, kw_only=True):
    """A page of items; `next` is the cursor of the page after it, None after the last one."""

    items: tuple[ListedItem, ...]
    next: str | None


class ListedUser(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A user of a listing, with attributes if there are any."""

    user_id: str
    attributes: dict[str, AttributeValue] = {}


class UserPage(Struct, frozen=True, kw_only=True):
    """A page of users; `next` is the cursor of the page after it, None after the last one."""

    users: tuple[ListedUser, ...]
    next: str | None
