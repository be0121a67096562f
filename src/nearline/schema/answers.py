"""What the engine answers."""

from msgspec import Struct

# At the end of the tier of what a language model put in order.
RERANKED = "+llm"


class ScoredItem(Struct, frozen=True):
    """An item and its score; higher is better, comparable within one answer only."""

    item_id: str
    score: float


class Recommendation(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One line of a list.

    Attributes
    ----------
    tier : str
        How this line came about: ``personal``, ``session``, ``stated``, ``context``, ``trending``
        or ``popular``;
        ``personal+llm`` or ``session+llm`` where a language model gave it its place.
    reasons : tuple of Part
        With ``explain=True``: the largest parts of the score.
    """

    item_id: str
    score: float
    tier: str
    reasons: "tuple[Part, ...]" = ()


class Part(Struct, frozen=True, kw_only=True):
    """One summand of a score.

    Attributes
    ----------
    source : str
        Id of the item in the history it comes from; empty for a part that needs no history.
    relation : str
        ``transitions``, ``coengagement``, ``content``, ``vector:NAME``; a tier for a line that
        no history made.
    amount : float
        What this part adds to the score.
    """

    source: str
    relation: str
    amount: float


class Explanation(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Why an item has its score for a user: `parts` sum to `score` (1e-6), largest first.

    Attributes
    ----------
    words : str
        With ``words=True``: the largest parts in a sentence.
    worded_by : str
        Who made it: ``llm``, or ``template`` where no language model answered in time.
    """

    user_id: str
    item_id: str
    score: float
    tier: str
    parts: tuple[Part, ...]
    words: str = ""
    worded_by: str = ""


class PastEvent(Struct, frozen=True, kw_only=True):
    """One line of a user's history: the item, the weight of the event, Unix seconds."""

    item_id: str
    weight: float
    timestamp: float


class UserSummary(Struct, frozen=True, kw_only=True):
    """What is known of a user: the history as it is used, most recent first."""

    user_id: str
    history: tuple[PastEvent, ...]


class Answer(Struct, frozen=True, kw_only=True):
    """A list for one user.

    Attributes
    ----------
    recommendation_id : str
        Echo it in later events, so that they can be traced to this list.
    user_id : str or None
        None for a session without an account.
    tier : str
        Tier of the first line: what most of the list is made from; it ends in ``+llm`` if, and
        only if, a language model put the first lines in order.
    model : str
        Id of the snapshot that answered; ``untrained`` where there is none.
    offset : int
        Every log record before this offset is reflected.
    """

    recommendation_id: str
    user_id: str | None
    items: tuple[Recommendation, ...]
    tier: str
    model: str
    offset: int
