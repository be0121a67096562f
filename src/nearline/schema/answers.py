"""Answers of the engine."""

from msgspec import Struct

# Suffix of the tier of a line that a language model placed.
RERANKED = "+llm"


class ScoredItem(Struct, frozen=True):
    """An item and its score. Higher is better; scores are comparable within one answer only."""

    item_id: str
    score: float


class Recommendation(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One line of a list.

    Attributes
    ----------
    tier : str
        Stage that produced the line: ``personal``, ``session``, ``stated``, ``context``,
        ``trending`` or ``popular``; with the suffix ``+llm`` if a language model placed it.
    reasons : tuple of Part
        Largest parts of the score; empty unless the request has ``explain=True``.
    """

    item_id: str
    score: float
    tier: str
    reasons: "tuple[Part, ...]" = ()


class Part(Struct, frozen=True, kw_only=True):
    """One part of a score.

    Attributes
    ----------
    source : str
        ID of the item in the history that the part comes from; empty if it comes from none.
    relation : str
        Relation to the source, such as ``transitions``, ``coengagement``, ``content`` or
        ``vector:NAME``; the tier of a line that does not come from a history.
    amount : float
        Contribution to the score.
    """

    source: str
    relation: str
    amount: float


class Explanation(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Explanation of a score: `parts`, largest first, sum to `score` with a tolerance of 1e-6.

    Attributes
    ----------
    words : str
        The largest parts in a sentence; empty unless asked for with ``words=True``.
    worded_by : str
        ``llm``, or ``template`` if no language model answered in time.
    """

    user_id: str
    item_id: str
    score: float
    tier: str
    parts: tuple[Part, ...]
    words: str = ""
    worded_by: str = ""


class PastEvent(Struct, frozen=True, kw_only=True):
    """One event of a history: the item, the weight of the event, and its time in Unix seconds."""

    item_id: str
    weight: float
    timestamp: float


class UserSummary(Struct, frozen=True, kw_only=True):
    """The history that recommendations for a user are based on, most recent event first."""

    user_id: str
    history: tuple[PastEvent, ...]


class Answer(Struct, frozen=True, kw_only=True):
    """A list for one user.

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
    """

    recommendation_id: str
    user_id: str | None
    items: tuple[Recommendation, ...]
    tier: str
    model: str
    offset: int
