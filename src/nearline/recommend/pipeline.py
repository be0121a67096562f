"""The pipeline that makes all lists: for one user, for many users, and for late requests.

A stage is a function that takes the lists of a block of users and the query, and returns the lists.
To add a stage, write it in a module of its own and add it to `STAGES`.
"""

from collections.abc import Callable, Iterable, Sequence

import numpy as np
from msgspec.structs import replace

from nearline.data import Histories
from nearline.recommend.anchors import anchor_kind, anchored
from nearline.recommend.answers import make_answer, with_critiques
from nearline.recommend.attributes import by_attributes, with_features
from nearline.recommend.candidates import candidates
from nearline.recommend.critiques import active_critiques, criticised, run_criticised
from nearline.recommend.diversity import depth_of, diversify
from nearline.recommend.experiments import (
    NO_ARMS,
    Arms,
    arms_of,
    interleaved_answers,
    named_arms,
    with_arms,
    with_variant,
)
from nearline.recommend.exploration import draws_of, explore
from nearline.recommend.fill import fill, preferences
from nearline.recommend.frequency import hidden_items, showings_of
from nearline.recommend.lists import PERSONAL, SESSION, Lists, Query, View
from nearline.recommend.merchandising import merchandise, merchandised
from nearline.recommend.pages import continued, shown_before
from nearline.recommend.policies import ChosenPolicy, named_choice, with_choice
from nearline.recommend.rules import allowed_items, relevant, rules
from nearline.recommend.scenarios import resolved
from nearline.recommend.selection import choose
from nearline.recommend.tags import joined, without_tags
from nearline.schema import (
    Answer,
    ListOptions,
    RecommendationRequest,
    check_id,
    check_options,
)
from nearline.state import State

__all__ = ["LATE_STAGES", "STAGES", "View", "answer", "history_of", "make_query", "run"]

Stage = Callable[[Lists, Query], Lists]

STAGES: tuple[Stage, ...] = (
    *(candidates, rules, relevant, explore, diversify),
    *(preferences, by_attributes, fill),
)
# For a request whose time budget is used up: the same list without the candidates of the model.
LATE_STAGES = tuple(stage for stage in STAGES if stage not in (candidates, by_attributes))


def answer(
    request: RecommendationRequest,
    view: View,
    *,
    late: bool = False,
    arms: Arms | None = None,
    choice: ChosenPolicy | None = None,
) -> Answer:
    """Answer a request with `k` items, or all allowed items if there are fewer.

    Parameters
    ----------
    late : bool
        Omit the candidates of the model; the rules are the same.
    arms : mapping of str to str or None
        Variants of experiments whose changes the request has already; None: those of the user.
    choice : ChosenPolicy or None
        Policy whose changes the request has already; None: the one that the scenario chooses.

    Raises
    ------
    InvalidInput
        A field of the request is invalid.
    """
    if arms is None:
        arms = arms_of(request.scenario, request.user_id, view)
        if arms:
            changed, theirs, mixed = with_arms(request, arms, view)
            if mixed is not None and request.cursor is None:
                return interleaved(changed, theirs, arms, mixed, late=late)
            return answer(changed, theirs, late=late, arms=arms)
    asked = request
    if choice is None:
        request, view, choice = with_choice(request, view, request.user_id, request.history)
    # Read first, so that the list reflects every record before this offset.
    offset = view.state.offset
    request = resolved(request, view.state)
    # A page can be continued after the scenario has chosen another policy.
    paged = request
    if request.scenario != asked.scenario:
        paged = replace(resolved(asked, view.state), k=request.k)
    histories, tier = history_of(request, view)
    person = request.user_id
    if person is not None:
        person = view.person(person, request.profiling)
        histories = with_features(histories, [person], view)
    before, users = shown_before(paged, view), [person]
    query = make_query(histories, request, view, tier=tier, shown=before, user_ids=users)
    stages = LATE_STAGES if late else STAGES
    said = active_critiques(person, view)
    if said:
        query = criticised(query, said)
        lists = run_criticised(query, said, lambda changed: run(changed, stages))
    else:
        lists = run(query, stages)
    made = make_answer(request, query, lists, offset, late=late)
    if said:
        made = with_critiques(made, request, said, view)
    return named_arms(named_choice(continued(made, paged, view), choice), arms)


def interleaved(
    request: RecommendationRequest, view: View, arms: Arms, name: str, *, late: bool = False
) -> Answer:
    """Return the list that the two variants of an experiment make together."""
    experiment = view.state.definitions.running.get(name)
    if experiment is None:  # it ended meanwhile
        return answer(request, view, late=late, arms=NO_ARMS)
    two = []
    for variant in experiment.names:
        changed, theirs = with_variant(request, view, name, variant)
        two.append(answer(changed, theirs, late=late, arms=NO_ARMS))
    k = resolved(request, view.state).k
    return named_arms(interleaved_answers(two[0], two[1], experiment.names, k, name), arms)


def run(query: Query, stages: Iterable[Stage] = STAGES) -> Lists:
    """Return the lists of the block of users of `query`: arrays [n, k]."""
    if query.merchandise is not None:
        return merchandised(query, lambda plain: run(plain, stages))
    lists = Lists.empty(len(query.histories), query.k)
    for stage in stages:
        lists = stage(lists, query)
    return lists


def make_query(
    histories: Histories,
    options: ListOptions,
    view: View,
    *,
    tier: int = PERSONAL,
    shown: frozenset[int] = frozenset(),
    user_ids: Sequence[str | None] | None = None,
) -> Query:
    """Validate the options, apply their scenario, and evaluate the expressions.

    Parameters
    ----------
    shown : frozenset of int
        Indices of items that the lists must not contain either.
    user_ids : sequence of str or None
        Users of the histories; without them, showings do not count. If expressions use attributes
        of users, all have the same values.

    Raises
    ------
    InvalidInput
        An option is invalid.
    UnknownScenario
        There is no such scenario.
    """
    options = resolved(options, view.state)
    check_options(options)
    exclude_seen = view.excludes_seen(options)
    if exclude_seen != options.exclude_seen:
        options = replace(options, exclude_seen=exclude_seen)
    user_id = user_ids[0] if user_ids else None
    choice = choose(options, view, user_id, allowed_items(view.state, options.category))
    showings = showings_of(user_ids, options, view)
    histories, hidden = without_tags(histories, user_ids, exclude_seen=exclude_seen, view=view)
    plan, factors = None, choice.factors
    rules_now = view.state.definitions.active(options.scenario, view.now)
    if rules_now:
        plan, factors = merchandise(rules_now, view, choice, first=len(shown))
    query = Query(
        view=view,
        histories=histories,
        tier=tier,
        options=options,
        allowed=choice.allowed,
        excluded=shown.union(_known(options.exclude, "exclude", view.state)),
        depth=depth_of(options),
        factors=factors,
        showings=showings,
        hidden=joined(hidden_items(showings, options, view.now), hidden),
        merchandise=plan,
        draws=draws_of(user_ids, histories, options, view) if options.explore else None,
    )
    kind = anchor_kind(options, view.state)
    return query if kind is None else anchored(query, kind)


def history_of(request: RecommendationRequest, view: View) -> tuple[Histories, int]:
    """Return the history (one row) that a list is based on, and the tier of its candidates."""
    state = view.state
    if request.user_id is not None:
        check_id(request.user_id, "user_id")
    if not view.profiles(request.user_id, request.profiling):
        for item_id in request.history or ():
            check_id(item_id, "history")
        return Histories.from_rows([[]]), SESSION if request.user_id is None else PERSONAL
    if request.history is not None:
        return Histories.from_rows([_known(request.history, "history", state)]), SESSION
    if request.user_id is None:
        return Histories.from_rows([[]]), SESSION
    return known_history(request.user_id, state), PERSONAL


def known_history(user_id: str, state: State) -> Histories:
    """Return the stored history (one row) of a user, without superseded events."""
    known = state.history(user_id)
    if known is None:
        return Histories.from_rows([[]])
    indptr = np.array([0, len(known.items)], dtype=np.int64)
    history = Histories(indptr, known.items, known.weights, known.times)
    return history.without_superseded() if known.opposed else history


def _known(item_ids: Iterable[str], field: str, state: State) -> list[int]:
    """Return the indices of valid item IDs, without unknown ones."""
    indices = [state.items.get(check_id(item_id, field)) for item_id in item_ids]
    return [index for index in indices if index is not None]
