from fractions import Fraction
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.state.naive_state import CONFIG, NOW, Log, View, folded, logs, naive_view

from nearline.recommend import contexts as module
from nearline.recommend.contexts import SHRINKAGE, orders_given
from nearline.recommend.fill import fallback
from nearline.recommend.lists import TIERS
from nearline.schema import Event, Item, Scalar
from nearline.state import State

Context = dict[str, Scalar]


def shop() -> State:
    """A hundred events: 60 of tea, 5 in FR and 30 by phone; 40 of mugs, 20 in FR; pots untouched.

    The events are so old that nothing is trending.
    """
    french: Context = {"land": "FR"}
    rows: list[tuple[str, Context | None, int]] = [
        ("tea", french, 5),
        ("tea", {"by": "phone"}, 30),
        ("tea", None, 25),
        ("mug", french, 20),
        ("mug", None, 20),
    ]
    events = [
        Event(user_id=f"{item}{row}{n}", item_id=item, timestamp=1.0, context=context)
        for row, (item, context, times) in enumerate(rows)
        for n in range(times)
    ]
    state = State()
    state.apply(list(enumerate([*events, Item(item_id="pot", timestamp=1.0)])))
    return state


def given_context(state: State, **context: Scalar) -> list[tuple[str, float]]:
    allowed = state.catalogue.available()
    orders = orders_given(context, 10, state, now=1e9, allowed=allowed, trending_from=1.0)
    assert orders is not None
    assert not len(orders.trending.items)
    top = orders.popular
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
    found = fallback(k, state, now=1e9, allowed=allowed, context=context)
    rows: dict[int, tuple[str, float, str]] = {}
    for item, score, tier in zip(*(array.tolist() for array in found), strict=True):
        rows.setdefault(item, (state.items.id_of(item), score, TIERS[tier]))
    return list(rows.values())[:k]


def test_a_list_is_filled_by_the_context_and_then_by_what_nobody_touched() -> None:
    state = shop()
    assert lines(state, land="FR") == [
        ("mug", 1e-9, "context"),
        ("tea", pytest.approx(7e-9 / 8), "context"),
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


def append(state: State, *items: str, land: str | None = None) -> None:
    """One event now for each item."""
    context: Context | None = {"land": land} if land else None
    for item in items:
        event = Event(user_id="x", item_id=item, timestamp=1e9, context=context)
        state.apply([(state.offset, event)])


def test_what_is_trending_is_ordered_by_the_context_too() -> None:
    state = shop()
    append(state, "tea", "tea", "tea", "mug", "mug")
    assert [(item, tier) for item, _, tier in lines(state, 2)] == [
        ("tea", "trending"),
        ("mug", "trending"),
    ]
    # Shares of all events stay 0.6 and 0.4, and so do the factors 7/9 and 4/3: 3 * 7/9 < 2 * 4/3.
    assert lines(state, land="FR") == [
        ("mug", 1e-7, "context"),
        ("tea", pytest.approx(7e-7 / 8), "context"),
        ("pot", 0.0, "popular"),
    ]
    # Somebody wanted pots now; what was popular in FR still comes behind what is trending.
    append(state, "pot", "pot")
    assert [item for item, _, _ in lines(state, land="FR")] == ["mug", "tea", "pot"]
    assert [tier for _, _, tier in lines(state, land="FR")] == ["context"] * 3


def test_scores_fall_from_tier_to_tier(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "SHRINKAGE", 1e-6)
    state = shop()
    append(state, "here", "here", land="FR")
    append(state, "elsewhere", "elsewhere")
    found = lines(state, land="FR")
    # Elsewhere has a millionth of the largest share, and yet stands above what was popular once.
    assert [item for item, _, _ in found] == ["here", "elsewhere", "mug", "tea", "pot"]
    assert [score for _, score, _ in found[:3]] == [1e-7, pytest.approx(1e-9), 1e-9]
    assert all(first >= second for (_, first, _), (_, second, _) in pairwise(found))


def naive_lifts(view: View, context: Context) -> dict[str, Fraction]:
    """Product of the factors of every touched item, in fractions."""
    values = [view.contexts.get((field, str(value)), {}) for field, value in context.items()]
    events, m = sum(view.totals.values()), Fraction(SHRINKAGE)
    lifts = {}
    for item, count in view.totals.items():
        share, lifts[item] = Fraction(count, events), Fraction(1)
        for value in values:
            lifts[item] *= (value.get(item, 0) + m * share) / (sum(value.values()) + m) / share
    return lifts


CONTEXTS = st.sampled_from([{"land": "FR"}, {"land": "DE", "hour": 7}, {"hour": 7, "land": "FR"}])


@given(log=logs(), context=CONTEXTS, n=st.integers(1, 6), hidden=st.sets(st.integers(0, 5)))
@settings(max_examples=200, deadline=None)
def test_the_first_of_all_items_are_found(
    log: Log, context: Context, n: int, hidden: set[int]
) -> None:
    state = folded(log)
    allowed = np.ones(state.items.slots, dtype=np.bool_)
    allowed[[item for item in hidden if item < len(allowed)]] = False
    orders = orders_given(context, n, state, now=NOW, allowed=allowed, trending_from=0.1)
    view = naive_view(log, CONFIG)
    lifts = naive_lifts(view, context)
    if not state.contexts.counts(context):
        assert orders is None
        return
    assert orders is not None
    trends = {item: score for item, score in view.trending.items() if score >= 0.1}
    for top, weights in ((orders.trending, trends), (orders.popular, view.totals)):
        scores = {item: float(weight * lifts[item]) for item, weight in weights.items()}
        most = max(scores.values(), default=1.0)
        may = {i: score / most for i, score in scores.items() if allowed[state.items[i]]}
        found = state.items.ids_of(top.items)
        assert top.scores.tolist() == pytest.approx([may[item] for item in found])
        assert top.scores.tolist() == pytest.approx(sorted(may.values(), reverse=True)[:n])
        assert len(set(found)) == len(found)


def test_many_fields_stay_within_the_range_of_numbers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "SHRINKAGE", 1e-6)
    context: Context = {f"field {n}": "x" for n in range(64)}
    rows: list[tuple[str, Context | None]] = [("some", None), ("rare", context)]
    rows += [("common", None)] * 2
    events = [
        Event(user_id="u", item_id=item, timestamp=1.0, context=context) for item, context in rows
    ]
    state = State()
    state.apply(list(enumerate(events)))
    # A factor of 1e-6 for each field: both are 0 as numbers, and yet one is more popular.
    assert given_context(state, **context) == [("rare", 1.0), ("common", 0.0), ("some", 0.0)]
