"""Stage that explores: places below the first are drawn, with known probabilities.

The draws of a user depend on a keyed hash of the user, the scenario and the time window, so a list
holds still within a window, is equal in all answers of the store, and nobody can compute it from
outside. See `nearline.kernels.exploration` for the policies and their propensities.
"""

from collections.abc import Sequence
from hashlib import blake2b
from typing import TypedDict

import msgspec
import numpy as np
from numpy.typing import NDArray

from nearline.data import Histories
from nearline.kernels.exploration import Draw, sampled_list, softmax_list
from nearline.models.base import Model
from nearline.models.capabilities import AdaptsWeights
from nearline.recommend.lists import Chance, Draws, Lists, Query, View
from nearline.schema import DAY, ListOptions
from nearline.schema.exploration import LEARNING, LINTS, SOFTMAX, THOMPSON, Explore, explore_of
from nearline.served.outcomes import sampled_weights

Scores = NDArray[np.float64]

# Rows of samples from which places are drawn. Fewer of weights, since one item is then the best of
# many rows, and each row takes longer.
SAMPLES, WEIGHT_SAMPLES = 100, 64
# New items that are candidates: content relations give them scores before the first event.
MAX_NEW = 20
# Items that became known last, among which new ones are searched.
LAST = 400
# Score of a new item in the rows in which it stands first; scores are at most 1 beside it. Among
# new items, relative scores below the second value count as this value.
FIRST, LEAST_NEW = 1e6, 0.01


class _Shared(TypedDict):
    """Options of all draws; see `nearline.kernels.exploration`."""

    floor: float
    new: float
    n_new: int
    keep_top: int
    seed: int


def draws_of(
    user_ids: Sequence[str | None] | None, histories: Histories, options: ListOptions, view: View
) -> tuple[Draws, ...]:
    """Return the seed of each user's draws: a keyed hash of user, scenario and time window.

    For a session without a user, its history takes the place of the user.
    """
    settings = explore_of(options.explore or {})
    key = b"" if view.signer is None else view.signer.secret
    window = int(view.now // settings.window)
    at = 0.0 if view.outcomes is None or settings.method not in LEARNING else view.outcomes.at
    draws = []
    for row in range(len(histories)):
        user_id = None if user_ids is None else user_ids[row]
        begin, end = histories.indptr[row], histories.indptr[row + 1]
        history = histories.items[begin:end].tolist() if user_id is None else None
        # The options are part of it, so that two policies draw independently.
        content = msgspec.json.encode((user_id, history, options.scenario, window, at, settings))
        digest = blake2b(content, digest_size=8, key=key, person=b"explore").digest()
        draws.append(Draws(int.from_bytes(digest, "little"), {}))
    return tuple(draws)


def explore(lists: Lists, query: Query) -> Lists:
    """Draw the places of each list from its candidates, if the request explores."""
    if query.draws is None or not query.options.explore:
        return lists
    settings, k = explore_of(query.options.explore), query.k
    drawn = Lists.empty(len(lists.items), k)
    linear = settings.method == LINTS
    for row, draws in enumerate(query.draws):
        size = int(np.count_nonzero(lists.items[row] >= 0))
        items = lists.items[row, : min(size, max(settings.candidates, k))]
        scores = lists.scores[row, : len(items)]
        n_old = len(items)
        if n_old and settings.new:
            items, scores = _with_new(items, scores, row, query, settings)
        if not len(items):
            continue
        values = _linear_values(items, row, query, draws.seed) if linear else None
        draw = _drawn(
            items, scores, len(items) - n_old, k, settings, draws.seed, query.view, values
        )
        n = len(draw.order)
        drawn.items[row, :n], drawn.scores[row, :n] = items[draw.order], scores[draw.order]
        drawn.tiers[row, :n] = query.tier
        for place, at in enumerate(draw.order.tolist()):
            chance = Chance(float(draw.propensity[place]), bool(draw.explored[place]))
            draws.chances[int(items[at])] = chance
    return drawn


def policy_of(options: ListOptions) -> str | None:
    """Return the name of the policy of a request that explores; None for others."""
    return explore_of(options.explore).method if options.explore else None


def _drawn(
    items: NDArray[np.int32],
    scores: Scores,
    n_new: int,
    k: int,
    settings: Explore,
    seed: int,
    view: View,
    values: Scores | None,
) -> Draw:
    """Draw a list; the last `n_new` of the items are new ones.

    `values` are samples of what items are worth, if the method has drawn them.
    """
    largest = float(np.abs(scores).max())
    relative = scores / largest if largest else scores
    shared: _Shared = {
        "floor": settings.rate,
        "new": settings.new,
        "n_new": n_new,
        "keep_top": settings.keep_top,
        "seed": seed,
    }
    if settings.method == SOFTMAX:
        return softmax_list(relative, k, temperature=settings.temperature, **shared)
    if settings.method == THOMPSON and view.outcomes is not None:
        values = view.outcomes.samples(items, relative, SAMPLES, seed)
        first = round(SAMPLES * settings.new) if n_new else 0
        if first:  # the best new item of each sample
            likely = np.maximum(relative[-n_new:], LEAST_NEW)
            drawn = view.outcomes.samples(items[-n_new:], likely, first, seed)
            values[:first, -n_new:] = FIRST + drawn
        shared["new"] = 0.0
    elif values is None:
        values = relative[None].copy()
    return sampled_list(relative, values, k, overwrite=True, **shared)


def relative_parts(
    history: Histories, items: NDArray[np.int32], model: Model
) -> tuple[tuple[str, ...], Scores] | None:
    """Return what each relation adds to the scores of items, divided by the largest score.

    Returns
    -------
    (tuple of str, float64 [n, relations]) or None
        Names of the relations and parts; None if the model is no sum over relations, or no item has
        a positive score.
    """
    if not isinstance(model, AdaptsWeights):
        return None
    names = tuple(model.trained_weights())
    parts = np.zeros((len(items), len(names)))
    known = (items >= 0) & (items < model.n_items)
    if known.any():
        own = model.factors_for(history)
        factors = np.array([own.get(name, 1.0) for name in names])
        parts[known] = model.relation_parts(history, items[known]) * factors
    largest = float(parts.sum(axis=1).max(initial=0.0))
    return (names, parts / largest) if largest > 0.0 else None


def _linear_values(items: NDArray[np.int32], row: int, query: Query, seed: int) -> Scores | None:
    """Return samples of scores with other weights of relations: float64 [WEIGHT_SAMPLES, n]."""
    history = query.histories.select(np.array([row]))
    found = relative_parts(history, items, query.view.model)
    if found is None:
        return None
    names, parts = found
    weights = sampled_weights(query.view.outcomes, names, WEIGHT_SAMPLES, seed)
    values = weights @ parts.T
    return values if query.factors is None else values * query.factors[items]


def _with_new(
    items: NDArray[np.int32], scores: Scores, row: int, query: Query, settings: Explore
) -> tuple[NDArray[np.int32], Scores]:
    """Append the `MAX_NEW` new items with the highest scores, among those known last."""
    state, since = query.view.state, query.view.now - settings.new_days * DAY
    n = min(len(query.allowed), query.view.model.n_items)
    out = query.ruled_out(row).union(items.tolist())
    found: list[int] = []
    with state.lock:
        for index in range(n - 1, max(n - LAST, 0) - 1, -1):
            if query.allowed[index] and index not in out:
                entry = state.catalogue.entry_of(index)
                if entry is not None and entry.timestamp >= since:
                    found.append(index)
    if not found:
        return items, scores
    new = np.array(found, dtype=np.int32)
    history = query.histories.select(np.array([row]))
    theirs = query.view.model.score(history, new).astype(np.float64)
    best = np.argsort(-theirs, kind="stable")[:MAX_NEW]
    least = np.minimum(theirs[best], float(scores.min()))
    return np.concatenate((items, new[best])), np.concatenate((scores, least))
