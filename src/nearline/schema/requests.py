"""What the engine is asked."""

from msgspec import Struct

from nearline.schema.records import Scalar


class RecommendationRequest(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Ask for a list.

    Attributes
    ----------
    user_id : str or None
        Whose history to start from; None for a session without an account.
    history : tuple of str or None
        Item ids, oldest first: replaces the known history for this request.
    k : int
        Length of the list, 1 to 1000.
    exclude_seen : bool
        Leave out items of the history.
    category : str or None
        Only items with this label.
    exclude : tuple of str
        Items never to answer with.
    explain : bool
        Give the largest parts of each score.
    rerank : bool
        Let the language model, where one is configured, put the first lines in order.
    context : dict or None
        Names to texts, numbers or booleans, as in events (device, country, hour): what fills the
        list up is what is popular given these.
    preferences : str or None
        Words that say what the user likes: what fills the list up is first of all items whose own
        words are near.
    """

    user_id: str | None = None
    history: tuple[str, ...] | None = None
    k: int = 10
    exclude_seen: bool = True
    category: str | None = None
    exclude: tuple[str, ...] = ()
    explain: bool = False
    rerank: bool = False
    context: dict[str, Scalar] | None = None
    preferences: str | None = None
