from fractions import Fraction
from math import prod

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.state.naive_state import CONFIG, NOW, Log, folded, logs, naive_view

from nearline.rules import contexts as module
from nearline.rules import fill
from nearline.rules.contexts import SHRINKAGE, popular_given
from nearline.schema import Event, Item, Scalar
from nearline.state import State

Context = dict[str, Scalar]


def shop() -> State:
    """A hundred events: 60 of tea, 5 in FR and 30 by phone; 40 of mugs, 20 in FR; pots untouched.

    The events are so old that nothing is trending.
    """
    contexts: list[tuple[str, Context | None]] = [
        *[("tea", {"land": "FR"})] * 5,
        *[("tea", {"by": "phone"})] * 30,
        *[("tea", None)] * 25,
        *[("mug", {"land": "FR"})] * 20,
        *[("mug", None)] * 20,
    ]
    events = [
        Event(user_id=f"u{n}", item_id=item, timestamp=1.0, context=context)
        for n, (item, context) in enumerate(contexts)
    ]
    state = State()
    state.apply(list(enumerate([*events, Item(item_id="pot", timestamp=1.0)])))
    return state


def given_context(state: State, **context: Scalar) -> list[tuple[str, float]]:
    allowed = state.catalogue.available()
    top = popular_given(context, 10, state, now=1e9, allowed=allowed)
    assert top is not None
    return list(zip(state.items.ids_of(top.items), top.scores.tolist(), strict=True))


def test_lifts_worked_out_by_hand() -> None:
    assert SHRINKAGE == 50.0
    state = shop()
    # In FR, mugs: 40 * (20 + 50 * 0.4) / (25 + 50) / 0.4 = 53.3;
    # tea: 60 * (5 + 50 * 0.6) / (25 + 50) / 0.6 = 46.7.
    assert given_context(state, land="FR") == [("mug", 1.0), ("tea", pytest.approx(7 / 8))]
    # By phone: tea times (30 + 30) / 80 / 0.6 = 1.25, mugs times (0 + 20) / 80 / 0.4 = 0.625.
    both = given_context(state, land="FR", by="phone", day="never seen")
    assert both == [("tea", 1.0), ("mug", pytest.approx(4 / 7))]


def lines(state: State, k: int = 5, **context: Scalar) -> list[tuple[str, float, str]]:
    allowed = state.catalogue.available()
    found = fill([], k, state, now=1e9, allowed=allowed, context=context)
    return [(state.items.id_of(line.item), line.score, line.tier) for line in found]


def test_a_list_is_filled_by_the_context_and_then_by_what_nobody_touched() -> None:
    state = shop()
    assert lines(state, land="FR") == [
        ("mug", 1e-6, "context"),
        ("tea", pytest.approx(7e-6 / 8), "context"),
        ("pot", 0.0, "popular"),
    ]
    assert [item for item, _, _ in lines(state, 1, land="FR")] == ["mug"]


def test_a_context_that_says_nothing_changes_nothing() -> None:
    state = shop()
    plain = lines(state)
    assert [(item, tier) for item, _, tier in plain] == [
        ("tea", "popular"),
        ("mug", "popular"),
        ("pot", "popular"),
    ]
    assert lines(state, land="DE", share=0.5) == plain


def test_the_context_comes_before_what_is_trending() -> None:
    state = shop()
    new = Event(user_id="x", item_id="tea", timestamp=1e9)
    state.apply([(state.offset, new), (state.offset + 1, new)])
    assert lines(state, 1)[0][2] == "trending"
    assert [tier for _, _, tier in lines(state, land="FR")] == ["context", "context", "popular"]


def naive_scores(log: Log, context: Context) -> dict[str, Fraction]:
    """The formula of every touched item, in fractions."""
    view = naive_view(log, CONFIG)
    values = [view.contexts.get((field, str(value)), {}) for field, value in context.items()]
    events, m = sum(view.totals.values()), Fraction(SHRINKAGE)
    return {
        item: count
        * prod(
            (value.get(item, 0) + m * share) / (sum(value.values()) + m) / share for value in values
        )
        for item, count in view.totals.items()
        if (share := Fraction(count, events))
    }


CONTEXTS = st.sampled_from([{"land": "FR"}, {"land": "DE", "hour": 7}, {"hour": 7, "land": "FR"}])


@given(log=logs(), context=CONTEXTS, n=st.integers(1, 6), hidden=st.sets(st.integers(0, 5)))
@settings(max_examples=200, deadline=None)
def test_the_first_of_all_items_are_found(
    log: Log, context: Context, n: int, hidden: set[int]
) -> None:
    state = folded(log)
    allowed = np.ones(state.items.slots, dtype=np.bool_)
    allowed[[item for item in hidden if item < len(allowed)]] = False
    top = popular_given(context, n, state, now=NOW, allowed=allowed)
    scores = naive_scores(log, context)
    if not state.contexts.counts(context):
        assert top is None
        return
    assert top is not None
    most = float(max(scores.values()))
    may = {
        item: float(score) / most for item, score in scores.items() if allowed[state.items[item]]
    }
    found = state.items.ids_of(top.items)
    assert top.scores.tolist() == pytest.approx([may[item] for item in found])
    assert top.scores.tolist() == pytest.approx(sorted(may.values(), reverse=True)[:n])
    assert len(set(found)) == len(found)


def test_many_fields_stay_within_the_range_of_numbers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "SHRINKAGE", 1e-6)
    context: Context = {f"field {n}": "x" for n in range(64)}
    rows = [("some", None), ("rare", context), ("common", None), ("common", None)]
    events = [
        Event(user_id="u", item_id=item, timestamp=1.0, context=context) for item, context in rows
    ]
    state = State()
    state.apply(list(enumerate(events)))
    # A factor of 1e-6 for each field: both are 0 as numbers, and yet one is more popular.
    assert given_context(state, **context) == [("rare", 1.0), ("common", 0.0), ("some", 0.0)]
