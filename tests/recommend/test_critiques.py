"""Critiques change the next list, hold as long as they should, and leave no trace once revoked."""

from typing import Any

import numpy as np
import pyarrow as pa
import pytest

import nearline as nl
from nearline.errors import InvalidInput, UnknownCritique
from nearline.recommend.critiques import SESSION_SECONDS, having

BRANDS = ("acme", "bolt", "core")
N_ITEMS, HOUR = 60, SESSION_SECONDS


class Clock:
    now = 1.7e9

    def __call__(self) -> float:
        return self.now


def brand_of(item: str) -> str:
    return BRANDS[int(item[1:]) % 3]


@pytest.fixture(scope="module")
def trained() -> pa.Table:
    rng = np.random.default_rng(0)
    rows = [
        (f"u{user}", f"i{item}", 1.6e9 + 100.0 * user + step)
        for user in range(60)
        for step, item in enumerate(rng.choice(N_ITEMS, 8, replace=False))
    ]
    users, items, times = zip(*rows, strict=True)
    return pa.table({"user_id": users, "item_id": items, "timestamp": times})


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def rec(trained: pa.Table, clock: Clock) -> nl.Recommender:
    rec = nl.Recommender(clock=clock)
    rec.add(trained)
    items = [
        nl.Item(
            item_id=f"i{n}",
            timestamp=1.6e9,
            attributes={"brand": BRANDS[n % 3], "sizes": [n % 5, "x"], "vip": n % 2 == 0},
            categories=[f"kind={n % 4}"],
        )
        for n in range(N_ITEMS)
    ]
    rec.put_items(items).result()
    return rec


def listed(rec: nl.Recommender, user: str = "u1", k: int = 10, **options: Any) -> list[Any]:
    return [(line.item_id, line.score, line.tier) for line in rec.recommend(user, k, **options)]


def count(rec: nl.Recommender, user: str, wanted: str, **options: Any) -> int:
    return sum(brand_of(item) == wanted for item, *_ in listed(rec, user, **options))


@pytest.mark.parametrize("lasting", [False, True])
def test_less_of_a_value_at_least_halves_it_in_the_next_list(
    rec: nl.Recommender, lasting: bool
) -> None:
    tried = 0
    for user in [f"u{n}" for n in range(0, 60, 5)] + ["nobody"]:
        for brand in BRANDS:
            before, whole = count(rec, user, brand), listed(rec, user)
            if not before:
                continue
            said = rec.critique(user, less_of={"brand": brand}, lasting=lasting)
            assert count(rec, user, brand) <= before // 2
            assert len(listed(rec, user)) == 10
            rec.revoke_critique(user, said.critique_id).result()
            assert listed(rec, user) == whole
            tried += 1
    assert tried > 25


def test_not_removes_the_item_and_revoked_it_is_as_before(rec: nl.Recommender) -> None:
    whole = listed(rec)
    said = rec.critique("u1", not_=whole[0][0])
    assert [line[0] for line in listed(rec)][:9] == [line[0] for line in whole[1:]]
    assert listed(rec, "u2")  # others are not affected
    rec.revoke_critique("u1", said.critique_id).result()
    assert listed(rec) == whole
    with pytest.raises(UnknownCritique):
        rec.revoke_critique("u1", said.critique_id)


def test_more_like_an_item_adds_its_neighbours_and_says_so(rec: nl.Recommender) -> None:
    near = {line.item_id for line in rec.similar("i7", 5)}
    rec.critique("nobody", more_like="i7")
    lines = rec.recommend("nobody", 5, explain=True)
    assert {line.item_id for line in lines} == near
    assert {line.tier for line in lines} == {"personal"}
    for line in lines:
        assert {(part.relation, part.source) for part in line.reasons} == {("more_like", "i7")}
    why = rec.explain("nobody", lines[0].item_id)
    assert sum(part.amount for part in why.parts) == pytest.approx(why.score)
    assert {part.relation for part in why.parts} == {"more_like"}
    about = rec.explain("nobody", "i7").critiques
    assert [one.more_like for one in about] == ["i7"]


def test_one_list_and_many_are_the_same(rec: nl.Recommender) -> None:
    top = listed(rec, "u3")[0][0]
    rec.critique("u3", not_=top)
    rec.critique("u3", less_of={"brand": "acme"})
    rec.critique("u4", more_like="i9")
    users = ["u2", "u3", "u4", "nobody"]
    frame = rec.recommend_many(users, 10).to_pydict()
    for user in users:
        mine = [i for u, i in zip(frame["user_id"], frame["item_id"], strict=True) if u == user]
        assert mine == [line[0] for line in listed(rec, user)]


def test_a_critique_of_a_session_ends_when_the_history_moves_on(
    rec: nl.Recommender, clock: Clock
) -> None:
    first, second = (line[0] for line in listed(rec)[:2])
    rec.critique("u1", not_=first)
    rec.critique("u1", not_=second, lasting=True)
    clock.now += HOUR - 1
    rec.observe("u1", "i59")
    assert len(rec.critiques("u1")) == 2  # within the hour
    clock.now += 1
    assert [one.not_item for one in rec.critiques("u1")] == [second]
    assert not rec.expires("u1")
    rec.critique("u1", not_=first)
    assert rec.expires("u1")
    clock.now += 10 * HOUR  # without an event
    assert len(rec.critiques("u1")) == 2


def test_erasure_equals_never_said(rec: nl.Recommender) -> None:
    whole = listed(rec, "nobody")
    rec.critique("nobody", more_like="i3")
    rec.critique("nobody", not_=whole[0][0], lasting=True)
    assert listed(rec, "nobody") != whole
    assert rec.forget("nobody").result() == 2
    assert listed(rec, "nobody") == whole
    assert rec.critiques("nobody") == []


def test_the_same_critique_is_stored_once(rec: nl.Recommender) -> None:
    first = rec.critique("u1", less_of={"brand": "acme"})
    second = rec.critique("u1", less_of={"brand": "acme"}, lasting=True)
    assert first.critique_id == second.critique_id
    assert [one.lasting for one in rec.critiques("u1")] == [True]


@pytest.mark.parametrize("fields", [{"more_like": "i999"}, {"not_": "i999"}])
def test_critiques_of_unknown_items_are_refused(
    rec: nl.Recommender, fields: dict[str, Any]
) -> None:
    offset = rec.offset
    with pytest.raises(InvalidInput, match="i999"):
        rec.critique("u1", **fields)
    assert rec.offset == offset


@pytest.mark.parametrize(
    ("name", "value", "wanted"),
    [
        ("brand", "acme", {n for n in range(N_ITEMS) if n % 3 == 0}),
        ("sizes", 3, {n for n in range(N_ITEMS) if n % 5 == 3}),
        ("vip", True, {n for n in range(N_ITEMS) if n % 2 == 0}),
        ("vip", 1, set()),
        ("kind", 2, {n for n in range(N_ITEMS) if n % 4 == 2}),
        ("categories", "KIND=1", {n for n in range(N_ITEMS) if n % 4 == 1}),
        ("colour", "red", set()),
        ("a b", "odd", {1}),
        ("title", "x", set()),
        ("brand", 'a"c\\me', set()),
        ("sizes", "x", set(range(N_ITEMS))),
    ],
)
def test_items_with_a_value(rec: nl.Recommender, name: str, value: Any, wanted: set[int]) -> None:
    if name == "a b":
        rec.put_item("i1", attributes={"a b": ["odd"]})
    state = rec._current.deployment.state
    found = having(name, value, state, N_ITEMS)
    assert {int(state.items.id_of(int(i))[1:]) for i in np.flatnonzero(found)} == wanted
