"""Answers about given items and users: ranking, explanation, similar items, entries, histories."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from nearline.data import Histories
from nearline.errors import InvalidInput, UnknownItem, UnknownUser
from nearline.recommend.answers import own_items, parts_of
from nearline.recommend.attributes import score_by_attributes, with_features
from nearline.recommend.critiques import active_critiques, concerning, named_parts, with_liked
from nearline.recommend.fill import score_fallback
from nearline.recommend.lists import ATTRIBUTES, PERSONAL, TIERS, Lists, View
from nearline.recommend.pipeline import known_history
from nearline.schema import (
    Critique,
    Explanation,
    Item,
    PastEvent,
    ScoredItem,
    UserSummary,
    check_id,
    check_k,
)
from nearline.state import State, users_with

MAX_LIST = 10_000


def similar(item_id: str, k: int, view: View, least_users: int = 1) -> list[ScoredItem]:
    """Return the available items most similar to an item according to the model, best first.

    An item that occurs in the histories of fewer than `least_users` users, but of at least one, has
    no list and is in no list. Otherwise, the list of an item that only one person knows shows what
    else this person has looked at. Items without any event are compared by their content only.
    """
    index = _known_item(item_id, view.state)
    k = check_k(k)
    if index >= view.model.n_items:
        return []
    available = view.state.catalogue.available()
    # More than k, because unavailable items are removed.
    found = view.model.similar(np.array([index], dtype=np.int32), 2 * k + 50)
    ids = view.state.items
    if least_users > 1:
        asked = np.append(found.items[0][found.items[0] >= 0], np.int32(index))
        users = users_with(view.state, asked)
        few = set(asked[(users > 0) & (users < least_users)].tolist())
        if index in few:
            return []
        available = available.copy()
        available[list(few)] = False
    pairs = zip(found.items[0].tolist(), found.scores[0].tolist(), strict=True)
    return [ScoredItem(ids.id_of(i), s) for i, s in pairs if i >= 0 and available[i]][:k]


def rank(user_id: str, item_ids: list[str], view: View) -> list[ScoredItem]:
    """Rank the given items by tier and score; unknown items come last with score 0."""
    check_id(user_id, "user_id")
    if len(item_ids) > MAX_LIST:
        raise InvalidInput(
            f"item_ids has {len(item_ids):,} entries; at most {MAX_LIST:,} are allowed",
            field="item_ids",
        )
    known = [view.state.items.get(_item_id(i, at)) for at, i in enumerate(item_ids)]
    history = _criticised_history(user_id, active_critiques(user_id, view), view)
    lines = _score({index for index in known if index is not None}, history, view)
    places = {
        item: (tier, -score)
        for item, score, tier in zip(*(array.tolist() for array in lines), strict=True)
    }
    last = (len(TIERS), 0.0)
    found = [
        (last if index is None else places[index], item_id)
        for item_id, index in zip(item_ids, known, strict=True)
    ]
    found.sort(key=lambda line: line[0])
    return [ScoredItem(item_id, 0.0 - place[1]) for place, item_id in found]


def explain(user_id: str, item_id: str, view: View) -> Explanation:
    """Return all parts of the score of an item for a user; they sum to the score."""
    said = active_critiques(check_id(user_id, "user_id"), view)
    history = _criticised_history(user_id, said, view)
    index = _known_item(item_id, view.state)
    line = _score({index}, history, view)
    score, tier = float(line.scores[0]), int(line.tiers[0])
    parts = parts_of(index, score, tier, history, view)
    if said:
        parts = named_parts(parts, said, own_items(user_id, view))
    return Explanation(
        user_id=user_id,
        item_id=item_id,
        score=score,
        tier=TIERS[tier],
        parts=parts,
        critiques=concerning(index, said, view),
    )


def item(item_id: str, view: View) -> Item:
    """Return the catalogue entry of an item."""
    index = view.state.items.get(check_id(item_id, "item_id"))
    found = None if index is None else view.state.catalogue.get(index)
    if found is None:
        raise UnknownItem(f"item {item_id!r} has no catalogue entry")
    return found


def user(user_id: str, view: View) -> UserSummary:
    """Return the attributes and the stored history of a user, most recent event first."""
    state = view.state
    known = state.history(check_id(user_id, "user_id"))
    if known is None and not state.profiles.knows(user_id):
        raise UnknownUser(f"user {user_id!r} has neither events nor attributes")
    attributes = dict(state.user_attributes(user_id))
    if known is None:
        return UserSummary(user_id=user_id, history=(), attributes=attributes)
    rows = zip(
        view.state.items.ids_of(known.items),
        known.weights.tolist(),
        known.times.tolist(),
        strict=True,
    )
    past = [PastEvent(item_id=item, weight=weight, timestamp=when) for item, weight, when in rows]
    history = tuple(reversed(past))
    return UserSummary(user_id=user_id, history=history, attributes=attributes)


def _criticised_history(user_id: str, said: Sequence[Critique], view: View) -> Histories:
    """Return the history of a user, with the items that are wanted more."""
    history = with_features(known_history(user_id, view.state), [user_id], view)
    items = view.state.items
    liked = [items.get(one.more_like) for one in said if one.more_like is not None]
    return with_liked(history, [index for index in liked if index is not None])


def _score(items: set[int], history: Histories, view: View) -> Lists:
    """Score items for one user, with the tiers that `answer` would give them: arrays [n]."""
    wanted = np.array(sorted(items), dtype=np.int32)
    lines = score_fallback(wanted, view.state, now=view.now)
    theirs = score_by_attributes(wanted, history.features, view)
    lines.tiers[theirs > 0] = ATTRIBUTES
    lines.scores[theirs > 0] = theirs[theirs > 0]
    if len(history.items) and len(wanted):
        ranked = _ranked(wanted, history, view)
        lines.tiers[ranked] = PERSONAL
        lines.scores[ranked] = view.model.score(history, wanted)[ranked]
    return lines


def _ranked(wanted: NDArray[np.int32], history: Histories, view: View) -> NDArray[np.bool_]:
    """Return which items the model ranks for a history, including seen ones: bool [n]."""
    among = np.zeros(view.model.n_items, dtype=np.bool_)
    among[wanted[wanted < len(among)]] = True
    found = view.model.recommend_from(history, len(wanted), exclude_seen=False, allowed=among)
    return np.isin(wanted, found.items[0])


def _known_item(item_id: str, state: State) -> int:
    index = state.items.get(check_id(item_id, "item_id"))
    if index is None:
        raise UnknownItem(f"item {item_id!r} has neither events nor a catalogue entry")
    return index


def _item_id(item_id: str, position: int) -> str:
    try:
        return check_id(item_id, "item_ids")
    except InvalidInput as error:
        raise error.at(position) from None
