"""Answers about given items and users: ranking, explanation, entries, histories."""

from collections.abc import Iterable, Sequence

import numpy as np
from msgspec.structs import replace
from numpy.typing import NDArray

from nearline.data import Histories
from nearline.errors import UnknownItem, UnknownUser
from nearline.recommend.answers import own_items, parts_of
from nearline.recommend.attributes import score_by_attributes, with_features
from nearline.recommend.critiques import active_critiques, concerning, named_parts, with_liked
from nearline.recommend.fill import score_fallback
from nearline.recommend.lists import ATTRIBUTES, PERSONAL, TIERS, Lists, View
from nearline.recommend.pipeline import known_history
from nearline.recommend.selection import (
    bindings_of,
    boosted,
    factors_of,
    shown,
)
from nearline.recommend.tags import without_tags
from nearline.schema import (
    Critique,
    ExplainOptions,
    Explanation,
    Item,
    ItemOptions,
    PastEvent,
    RankOptions,
    ScoredItem,
    UserSummary,
    check_boost_options,
    check_id,
)
from nearline.schema.records import AttributeValue
from nearline.schema.rules import AUTO, INCLUDE
from nearline.state import State, Top, users_with

NO_OPTIONS = ExplainOptions()


def seen_items(user_id: str | None, options: RankOptions, view: View) -> set[int]:
    """Return the items of a user that `repeats` leaves out; none if it is not set."""
    if user_id is None or options.repeats is None:
        return set()
    repeats = view.repeats_found if options.repeats == AUTO else options.repeats == INCLUDE
    return set() if repeats else set(known_history(user_id, view.state).items.tolist())


def explain(
    user_id: str, item_id: str, view: View, options: ExplainOptions = NO_OPTIONS
) -> Explanation:
    """Return all parts of the score of an item for a user; they sum to the score.

    A boost multiplies the score and its parts.
    """
    person = view.person(check_id(user_id, "user_id"), options.profiling)
    said = active_critiques(person, view)
    history = _criticised_history(person, said, view)
    index = known_item(item_id, view.state)
    check_boost_options(options)
    factors = factors_of(options, view, bindings_of(options, view, person))
    factor = None
    if factors is not None:
        factor = float(factors[index]) if index < len(factors) else 1.0
    line = _score({index}, history, view, factors)
    score, tier = float(line.scores[0]), int(line.tiers[0])
    parts = parts_of(index, score, tier, history, view, factor)
    if said:
        parts = named_parts(parts, said, own_items(person, view))
    return Explanation(
        user_id=user_id,
        item_id=item_id,
        score=score,
        tier=TIERS[tier],
        parts=parts,
        factor=factor,
        critiques=concerning(index, said, view),
    )


def fields(item_id: str, names: Iterable[str], view: View) -> dict[str, AttributeValue]:
    """Return the fields and attributes of an item that it has, by name."""
    return shown(known_item(item_id, view.state), names, view.state)


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
    attributes = state.profiles.stored(user_id)
    consent = state.profiles.consent(user_id)
    profiling = consent is None or consent.profiling
    if known is None:
        return UserSummary(user_id=user_id, history=(), attributes=attributes, profiling=profiling)
    rows = zip(
        view.state.items.ids_of(known.items),
        known.weights.tolist(),
        known.times.tolist(),
        strict=True,
    )
    past = [PastEvent(item_id=item, weight=weight, timestamp=when) for item, weight, when in rows]
    history = tuple(reversed(past))
    return UserSummary(user_id=user_id, history=history, attributes=attributes, profiling=profiling)


def rank_history(user_id: str, view: View) -> Histories:
    """Return the history (one row) by which `rank` scores items for a user."""
    return _criticised_history(user_id, active_critiques(user_id, view), view)


def _criticised_history(user_id: str, said: Sequence[Critique], view: View) -> Histories:
    """Return the history of a user, with the items that are wanted more."""
    history = without_tags(
        known_history(user_id, view.state), [user_id], exclude_seen=False, view=view
    )[0]
    history = with_features(history, [user_id], view)
    items = view.state.items
    liked = [items.get(one.more_like) for one in said if one.more_like is not None]
    return with_liked(history, [index for index in liked if index is not None])


def lines_of(best: Top, options: ItemOptions, view: View) -> list[ScoredItem]:
    """Return lines with their fields, without those of a low score."""
    id_of = view.state.items.id_of
    least = -np.inf if options.min_score is None else options.min_score
    pairs = zip(best.items.tolist(), best.scores.tolist(), strict=True)
    lines = [(item, ScoredItem(id_of(item), score)) for item, score in pairs if score >= least]
    if not options.fields:
        return [line for _, line in lines]
    return [with_fields(line, item, options, view) for item, line in lines]


def with_fields(line: ScoredItem, item: int, options: ItemOptions, view: View) -> ScoredItem:
    """Return a line with the fields that a request asks for."""
    return replace(line, fields=shown(item, options.fields, view.state))


def known_to_few(items: NDArray[np.int32], state: State, least: int) -> NDArray[np.bool_]:
    """Return which items are in the histories of at least one user, but of fewer than `least`."""
    few = np.zeros(len(items), dtype=np.bool_)
    if least > 1:
        known = np.flatnonzero(items >= 0)
        users = users_with(state, items[known])
        few[known] = (users > 0) & (users < least)
    return few


def _score(
    items: set[int], history: Histories, view: View, factors: NDArray[np.float64] | None
) -> Lists:
    return score_items(np.array(sorted(items), dtype=np.int32), history, view, factors)


def score_items(
    wanted: NDArray[np.int32],
    history: Histories,
    view: View,
    factors: NDArray[np.float64] | None = None,
) -> Lists:
    """Score distinct items for one user, with the tiers that `answer` would give: arrays [n]."""
    lines = score_fallback(wanted, view.state, now=view.now)
    theirs = score_by_attributes(wanted, history.features, view)
    lines.tiers[theirs > 0] = ATTRIBUTES
    lines.scores[theirs > 0] = theirs[theirs > 0]
    if len(history.items) and len(wanted):
        ranked = _ranked(wanted, history, view)
        lines.tiers[ranked] = PERSONAL
        lines.scores[ranked] = view.model.score(history, wanted)[ranked]
    if factors is not None:
        known = wanted < len(factors)
        lines.scores[known] = boosted(lines.scores[known], factors[wanted[known]])
    return lines


def _ranked(wanted: NDArray[np.int32], history: Histories, view: View) -> NDArray[np.bool_]:
    """Return which items the model ranks for a history, including seen ones: bool [n]."""
    among = np.zeros(view.model.n_items, dtype=np.bool_)
    among[wanted[wanted < len(among)]] = True
    found = view.model.recommend_from(history, len(wanted), exclude_seen=False, allowed=among)
    return np.isin(wanted, found.items[0])


def known_item(item_id: str, state: State) -> int:
    """Return the index of an item; raise `UnknownItem` if there is none."""
    index = state.items.get(check_id(item_id, "item_id"))
    if index is None:
        raise UnknownItem(f"item {item_id!r} has neither events nor a catalogue entry")
    return index
