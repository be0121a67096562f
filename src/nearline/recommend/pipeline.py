"""Road 2: request → state view → candidates → ranking → rules → answer.

Every function here takes a `View`: the state, the model and the time that one request sees. A
promotion swaps the model for later requests; a request in flight keeps the one it started with.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from hashlib import blake2b

import numpy as np

from nearline.data import Histories
from nearline.errors import InvalidInput, UnknownItem, UnknownUser
from nearline.models.base import Model
from nearline.models.capabilities import SearchesText
from nearline.models.capabilities import explain as explain_score
from nearline.recommend.fill import PERSONAL_FLOOR, Line, fallback_lines, fill, stated_lines
from nearline.recommend.filters import allowed_items
from nearline.schema import (
    Answer,
    Explanation,
    Item,
    Part,
    PastEvent,
    Recommendation,
    RecommendationRequest,
    ScoredItem,
    UserSummary,
    check_context,
    check_id,
    check_k,
    check_preferences,
)
from nearline.state import State

MAX_REASONS = 3
MAX_LIST = 10_000


@dataclass(frozen=True)
class View:
    """What one request sees: state, model, the model's snapshot id, Unix seconds."""

    state: State
    model: Model
    model_id: str
    now: float


def answer(request: RecommendationRequest, view: View) -> Answer:
    """Answer a request with `k` items, or all that the rules allow where those are fewer."""
    k = check_k(request.k)
    if request.context is not None:
        check_context(request.context)
    if request.preferences is not None:
        check_preferences(request.preferences)
    offset = view.state.offset
    history, tier = history_of(request, view)
    excluded = set(_known(request.exclude, "exclude", view.state))
    if not request.exclude_seen:
        # What the user turned down stays out, whether or not seen items do.
        excluded.update(history.items[history.weights < 0].tolist())
    allowed = allowed_items(view.state, request.category)
    # Asked for more than k, since the excluded fall out: cheaper than a mask of all items. What a
    # model says to no history at all is not personal: counts that are up to date say it better.
    ranking = view.model.recommend_from(
        history,
        k + len(excluded),
        exclude_seen=request.exclude_seen,
        allowed=allowed[: view.model.n_items],
    )
    personal = [
        Line(item, score, tier)
        for item, score in zip(ranking.items[0].tolist(), ranking.scores[0].tolist(), strict=True)
        if item >= 0 and score > PERSONAL_FLOOR and item not in excluded and len(history.items)
    ]
    if request.exclude_seen:
        excluded.update(history.items.tolist())
    lines = personal[:k]
    if request.preferences and isinstance(view.model, SearchesText):
        taken = {line.item for line in lines}.union(excluded)
        mask = allowed[: view.model.n_items]
        found = view.model.search_text(request.preferences, k + len(taken), allowed=mask)
        stated = stated_lines(found.items[0], found.scores[0])
        lines += [line for line in stated if line.item not in taken]
    lines = fill(
        lines,
        k,
        view.state,
        now=view.now,
        allowed=allowed,
        excluded=excluded,
        context=request.context,
    )
    return Answer(
        recommendation_id=recommendation_id(request, view.model_id, offset),
        user_id=request.user_id,
        items=tuple(
            _recommendation(line, history, view, explain=request.explain) for line in lines
        ),
        tier=lines[0].tier if lines else "popular",
        model=view.model_id,
        offset=offset,
    )


def similar(item_id: str, k: int, view: View) -> list[ScoredItem]:
    """Neighbours of an item in the graph, available ones only, best first."""
    index = _known_item(item_id, view.state)
    check_k(k)
    if index >= view.model.n_items:
        return []
    available = view.state.catalogue.available()
    # Asked for more than k, since hidden neighbours fall out.
    found = view.model.similar(np.array([index], dtype=np.int32), 2 * k + 50)
    ids = view.state.items
    pairs = zip(found.items[0].tolist(), found.scores[0].tolist(), strict=True)
    return [ScoredItem(ids.id_of(i), s) for i, s in pairs if i >= 0 and available[i]][:k]


def rank(user_id: str, item_ids: list[str], view: View) -> list[ScoredItem]:
    """Exactly the given items, ordered for the user; unknown items come last with score 0."""
    check_id(user_id, "user_id")
    if len(item_ids) > MAX_LIST:
        raise InvalidInput(
            f"item_ids has {len(item_ids):,} entries; at most {MAX_LIST:,} are allowed",
            field="item_ids",
        )
    known = [view.state.items.get(_item_id(i, at)) for at, i in enumerate(item_ids)]
    history = _known_history(user_id, view.state)
    lines = _score({index for index in known if index is not None}, history, view)
    scores = {line.item: line.score for line in lines}
    found = [
        ScoredItem(item_id, 0.0 if index is None else scores[index])
        for item_id, index in zip(item_ids, known, strict=True)
    ]
    return sorted(found, key=lambda item: -item.score)


def item(item_id: str, view: View) -> Item:
    """Return the catalogue entry of an item."""
    index = view.state.items.get(check_id(item_id, "item_id"))
    found = None if index is None else view.state.catalogue.get(index)
    if found is None:
        raise UnknownItem(f"item {item_id!r} has no catalogue entry")
    return found


def user(user_id: str, view: View) -> UserSummary:
    """Return what is known of a user, most recent event first."""
    known = view.state.history(check_id(user_id, "user_id"))
    if known is None:
        raise UnknownUser(f"user {user_id!r} has no events")
    rows = zip(
        view.state.items.ids_of(known.items),
        known.weights.tolist(),
        known.times.tolist(),
        strict=True,
    )
    past = [PastEvent(item_id=item, weight=weight, timestamp=when) for item, weight, when in rows]
    return UserSummary(user_id=user_id, history=tuple(reversed(past)))


def explain(user_id: str, item_id: str, view: View) -> Explanation:
    """Every part of the score of `item_id` for `user_id`; the parts sum to it."""
    history = _known_history(check_id(user_id, "user_id"), view.state)
    index = _known_item(item_id, view.state)
    (line,) = _score({index}, history, view)
    parts = _parts(line, history, view)
    return Explanation(
        user_id=user_id, item_id=item_id, score=line.score, tier=line.tier, parts=parts
    )


def history_of(request: RecommendationRequest, view: View) -> tuple[Histories, str]:
    """Find the history [1 user] to start from, and the tier of what the model makes of it."""
    if request.user_id is not None:
        check_id(request.user_id, "user_id")
    if request.history is None:
        if request.user_id is None:
            return Histories.from_rows([[]]), "session"
        return _known_history(request.user_id, view.state), "personal"
    return Histories.from_rows([_known(request.history, "history", view.state)]), "session"


def _known(item_ids: Iterable[str], field: str, state: State) -> list[int]:
    """Look up item ids, leaving out the unknown; every id must keep the rules."""
    indices = [state.items.get(check_id(item_id, field)) for item_id in item_ids]
    return [index for index in indices if index is not None]


def _known_history(user_id: str, state: State) -> Histories:
    known = state.history(user_id)
    if known is None:
        return Histories.from_rows([[]])
    indptr = np.array([0, len(known.items)], dtype=np.int64)
    return Histories(indptr, known.items, known.weights, known.times)


def _known_item(item_id: str, state: State) -> int:
    index = state.items.get(check_id(item_id, "item_id"))
    if index is None:
        raise UnknownItem(f"item {item_id!r} is in no event and no catalogue entry")
    return index


def _item_id(item_id: str, position: int) -> str:
    try:
        return check_id(item_id, "item_ids")
    except InvalidInput as error:
        raise error.at(position) from None


def _score(items: set[int], history: Histories, view: View) -> list[Line]:
    """Score and tier of these items, as `answer` gives them."""
    wanted = np.array(sorted(items), dtype=np.int32)
    scores = view.model.score(history, wanted)
    strong = (scores > PERSONAL_FLOOR) & (len(history.items) > 0)
    pairs = zip(wanted[strong].tolist(), scores[strong].tolist(), strict=True)
    lines = [Line(item, score, "personal") for item, score in pairs]
    return lines + fallback_lines(wanted[~strong], view.state, now=view.now)


def _parts(line: Line, history: Histories, view: View) -> tuple[Part, ...]:
    if line.tier not in ("personal", "session"):
        return (Part(source="", relation=line.tier, amount=line.score),)
    ids = view.state.items
    parts = [
        Part(
            source=ids.id_of(int(history.items[part.source])) if part.source >= 0 else "",
            relation=part.relation,
            amount=part.amount,
        )
        for part in explain_score(view.model, history, line.item)
    ]
    return tuple(sorted(parts, key=lambda part: -abs(part.amount)))


def _recommendation(line: Line, history: Histories, view: View, *, explain: bool) -> Recommendation:
    reasons = _parts(line, history, view)[:MAX_REASONS] if explain else ()
    return Recommendation(
        item_id=view.state.items.id_of(line.item), score=line.score, tier=line.tier, reasons=reasons
    )


def recommendation_id(request: RecommendationRequest, model_id: str, offset: int) -> str:
    """Name a list by what it was made from: the same request at the same offset, the same name."""
    made_from = repr((request.user_id, request.history, request.k, model_id, offset))
    if request.context:
        made_from += repr(sorted(request.context.items()))
    if request.preferences:
        made_from += repr(request.preferences)
    return blake2b(made_from.encode(), digest_size=12).hexdigest()
