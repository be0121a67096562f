"""Ranking of given items for a user."""

from collections.abc import Mapping

import numpy as np

from nearline.errors import InvalidInput
from nearline.recommend.caps import LabelCounts
from nearline.recommend.diversity import POOL, selection
from nearline.recommend.lists import TIERS, View
from nearline.recommend.lookups import rank_history, score_items, seen_items, with_fields
from nearline.recommend.placement import Placement
from nearline.recommend.policies import with_model
from nearline.recommend.scenarios import resolved
from nearline.recommend.selection import choose
from nearline.schema import RankOptions, ScoredItem, ScoredList, check_id
from nearline.schema.questions import check_rank
from nearline.state import Top

MAX_LIST = 10_000
# An ID of a request, and the index of its item; None if it is unknown.
Given = tuple[str, int | None]


def rank(user_id: str, item_ids: list[str], options: RankOptions, view: View) -> ScoredList:
    """Rank the given items by tier and score; unknown items come last with score 0.

    With a filter, only the items for which it is true are ranked, and no unknown ones. Rules apply
    as in `nearline.recommend.placement`, but pins do not: all items are given. With diversity, the
    first 200 are listed in the order in which they are chosen, so that each beginning of the list
    is diverse.
    """
    check_id(user_id, "user_id")
    if len(item_ids) > MAX_LIST:
        raise InvalidInput(
            f"item_ids has {len(item_ids):,} entries; at most {MAX_LIST:,} are allowed",
            field="item_ids",
        )
    options, view = resolved(options, view.state), with_model(options, view)
    check_rank(options)
    person = view.person(user_id, options.profiling)
    choice = choose(options, view, person)
    places = [view.state.items.get(_item_id(i, at)) for at, i in enumerate(item_ids)]
    pairs = list(zip(item_ids, places, strict=True))
    if options.filter:
        mask = view.expressions.mask(options.filter, choice.bindings)
        pairs = [(i, at) for i, at in pairs if at is not None and at < len(mask) and mask[at]]
    seen = seen_items(person, options, view)
    pairs = [(i, at) for i, at in pairs if at not in seen]
    placement = Placement.of(options, view, choice)
    wanted = np.array(sorted({at for _, at in pairs if at is not None}), dtype=np.int32)
    scored = score_items(wanted, rank_history(person, view), view, placement.factors)
    lines = zip(scored.tiers.tolist(), scored.scores.tolist(), strict=True)
    known = dict(zip(wanted.tolist(), lines, strict=True))
    last = placement.buried(int(wanted.max(initial=-1)) + 1)

    def key(pair: tuple[str, int | None]) -> tuple[bool, int, float]:
        item = pair[1]
        if item is None:
            return True, len(TIERS), 0.0
        tier, score = known[item]
        return last is not None and bool(last[item]), tier, -score

    pairs.sort(key=key)  # of equal ones, the first given is first
    if options.diversity or options.max_per:
        pairs = _diverse(pairs, {at: score for at, (_, score) in known.items()}, options, view)
    ranked = []
    for item_id, item in pairs:
        score = 0.0 if item is None else known[item][1]
        if options.min_score is None or score >= options.min_score:
            line = ScoredItem(item_id, score)
            ranked.append(line if item is None else with_fields(line, item, options, view))
    return ScoredList(ranked, placement.fired(wanted[:0]))


def _diverse(
    pairs: list[Given], scores: Mapping[int, float], options: RankOptions, view: View
) -> list[Given]:
    """Reorder the first items of a ranking by diversity, and leave out what the caps forbid."""
    distinct = list(dict.fromkeys(item for _, item in pairs if item is not None))
    head = distinct[:POOL]
    pool = Top(np.array(head, dtype=np.int32), np.array([scores[item] for item in head]))
    chosen = [head[place] for place in selection(pool, len(head), options, view).tolist()]
    counts = LabelCounts(options.max_per or {}, view.state.catalogue)
    for item in chosen:
        counts.add(item)
    chosen += [item for item in distinct[POOL:] if counts.takes(item)]
    order = {item: place for place, item in enumerate(chosen)}
    kept = [pair for pair in pairs if pair[1] is None or pair[1] in order]
    return sorted(kept, key=lambda pair: len(order) if pair[1] is None else order[pair[1]])


def _item_id(item_id: str, position: int) -> str:
    try:
        return check_id(item_id, "item_ids")
    except InvalidInput as error:
        raise error.at(position) from None
