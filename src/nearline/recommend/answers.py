"""Conversion of a list of the pipeline to an answer, with its ID and its reasons."""

from collections.abc import Sequence
from hashlib import blake2b

import msgspec
import numpy as np
from msgspec.structs import replace

from nearline.data import Histories
from nearline.models.capabilities import explain
from nearline.recommend.anchors import anchor_of
from nearline.recommend.attributes import attribute_parts
from nearline.recommend.critiques import named_parts
from nearline.recommend.exploration import policy_of
from nearline.recommend.lists import ATTRIBUTES, PERSONAL, SESSION, TIERS, Lists, Query, View
from nearline.recommend.merchandising import fired, names_of_rules
from nearline.recommend.selection import boosted, shown
from nearline.schema import Answer, Critique, Part, Recommendation, RecommendationRequest

MAX_REASONS = 3
# Keys are sorted; values that JSON lacks, such as NumPy numbers, are encoded by their repr.
_ENCODER = msgspec.json.Encoder(order="sorted", enc_hook=repr)


def make_answer(
    request: RecommendationRequest, query: Query, lists: Lists, offset: int, *, late: bool
) -> Answer:
    """Convert the list of a block of one user to an answer."""
    view, id_of = query.view, query.view.state.items.id_of
    lines = []
    for item, score, tier in zip(*(array[0].tolist() for array in lists), strict=True):
        if item < 0:
            break
        line = Recommendation(item_id=id_of(item), score=score, tier=TIERS[tier])
        if request.explain:
            factor = None if query.factors is None else float(query.factors[item])
            reasons = parts_of(item, score, tier, query.histories, view, factor)[:MAX_REASONS]
            line = replace(line, reasons=reasons, factor=factor)
        if request.fields:
            line = replace(line, fields=shown(item, request.fields, view.state))
        if query.draws is not None and item in query.draws[0].chances:
            chance = query.draws[0].chances[item]
            line = replace(line, propensity=chance.propensity, explored=chance.explored)
        lines.append(line)
    return Answer(
        recommendation_id=recommendation_id(
            request,
            view.model_id,
            offset,
            "late" if late else "full",
            *names_of_rules(query),
            *(one.seed for one in query.draws or ()),
        ),
        user_id=request.user_id,
        items=tuple(lines),
        tier=lines[0].tier if lines else "popular",
        model=view.model_id,
        offset=offset,
        rules=fired(query, lists),
        because=anchor_of(query),
        next=None,
        policy=policy_of(request),
    )


def with_critiques(
    answer: Answer, request: RecommendationRequest, said: Sequence[Critique], view: View
) -> Answer:
    """Return the answer to a request of a user with critiques, which the ID and reasons name."""
    ids = (answer.recommendation_id, *(one.critique_id for one in said))
    made_from = recommendation_id(request, view.model_id, answer.offset, *ids)
    items = answer.items
    if request.explain:
        own = own_items(request.user_id, view)
        items = tuple(replace(line, reasons=named_parts(line.reasons, said, own)) for line in items)
    return replace(answer, recommendation_id=made_from, items=items)


def own_items(user_id: str | None, view: View) -> frozenset[str]:
    """Return the IDs of the items in the stored history of a user."""
    known = None if user_id is None else view.state.history(user_id)
    return frozenset() if known is None else frozenset(view.state.items.ids_of(known.items))


def recommendation_id(
    request: RecommendationRequest, model_id: str, offset: int, *policy: object
) -> str:
    """Return a digest of everything that determines a list.

    Parameters
    ----------
    policy : objects
        What determines the list beside request, model and offset: whether the request was late,
        or the order that a language model chose.
    """
    made_from = _ENCODER.encode((request, model_id, offset, policy))
    return blake2b(made_from, digest_size=12).hexdigest()


def parts_of(
    item: int, score: float, tier: int, history: Histories, view: View, factor: float | None = None
) -> tuple[Part, ...]:
    """Return the parts of a score, largest first; a score of the fill stages is a single part.

    The score contains the factor of a boost, and so does each part.
    """
    if tier == ATTRIBUTES:
        named = attribute_parts(item, score, history, view)
        return tuple(Part(source="", relation=name, amount=amount) for name, amount in named)
    if tier not in (PERSONAL, SESSION):
        return (Part(source="", relation=TIERS[tier], amount=score),)
    ids, parts = view.state.items, explain(view.model, history, item)
    if factor is not None:
        total = sum(part.amount for part in parts)
        scale = float(boosted(np.float64(total), factor)) / total if total else 1.0
        parts = [part._replace(amount=scale * part.amount) for part in parts]
    found = [
        Part(
            source=ids.id_of(int(history.items[part.source])) if part.source >= 0 else "",
            relation=part.relation,
            amount=part.amount,
        )
        for part in parts
    ]
    return tuple(sorted(found, key=lambda part: -abs(part.amount)))
