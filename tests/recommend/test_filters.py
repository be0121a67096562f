"""Lists with filters, boosts and minimum scores equal a comparison of all items."""

import os
from collections.abc import Iterator
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import nearline as nl
from nearline.errors import InvalidInput
from nearline.recommend.lists import TIERS

NOW = 1.75e9
EXAMPLES = int(os.environ.get("NEARLINE_EXAMPLES", "25"))
N_ITEMS, N_USERS = 60, 30
BRANDS = ["own", "x", "y"]

# Each filter and boost with its meaning.
FILTERS: dict[str, Any] = {
    "price < 20": lambda a: a.get("price", 99) < 20,
    'brand == "own" || has(sale)': lambda a: a.get("brand") == "own" or "sale" in a,
    "price > 1000": lambda a: False,
    '!(brand in ["own", "x"])': lambda a: a.get("brand") not in ("own", "x"),
    "price < context.budget": lambda a: a.get("price", 99) < 10,
    "price < user.budget": lambda a: a.get("price", 99) < 15,
}
BOOSTS: dict[str, Any] = {
    'brand == "own" ? 1.5 : 1.0': lambda a: 1.5 if a.get("brand") == "own" else 1.0,
    "price": lambda a: float(a.get("price", 1.0)),
    "sale ? 0.0 : 1.0": lambda a: 0.0 if a.get("sale") else 1.0,
    "sale ? 50 : 0.1": lambda a: 50.0 if a.get("sale") else 0.1,
    "price / user.budget": lambda a: a["price"] / 15.0 if "price" in a else 1.0,
}
CONTEXT: Any = {"budget": 10}


@pytest.fixture(scope="module")
def rec() -> Iterator[nl.Recommender]:
    rng = np.random.default_rng(4)
    events = [
        (user, item, NOW - 1e5 + n)
        for n, (user, item) in enumerate(
            zip(
                rng.integers(0, N_USERS, 400).tolist(),
                (rng.zipf(1.4, 400) % N_ITEMS).tolist(),
                strict=True,
            )
        )
    ]
    table = pa.table(
        {
            "user_id": [f"u{user}" for user, _, _ in events],
            "item_id": [f"i{item}" for _, item, _ in events],
            "timestamp": [when for *_, when in events],
        }
    )
    config = nl.Config(settings={"search": {"evaluations": 0}})
    with nl.Recommender(config=config, clock=lambda: NOW).fit(table) as rec:
        for item in range(N_ITEMS + 5):
            attributes: dict[str, Any] = {}
            if rng.random() < 0.8:
                attributes["price"] = float(rng.integers(1, 40))
            if rng.random() < 0.8:
                attributes["brand"] = BRANDS[int(rng.integers(3))]
            if rng.random() < 0.3:
                attributes["sale"] = True
            text = f"kind{item % 4} number{item}"
            rec.put_item(f"i{item}", text=text, attributes=attributes, timestamp=NOW)
        for user in range(N_USERS):
            rec.put_user(f"u{user}", budget=15)
        rec.put_user("new", budget=15)
        yield rec


def attributes_of(rec: nl.Recommender, item_id: str) -> dict[str, Any]:
    return dict(rec.item(item_id).attributes)


def expected(rec: nl.Recommender, user: str, filtered: str | None, boost: str | None) -> list[Any]:
    """Return the whole list of a user without expressions, selected and sorted again."""
    lines: list[Any] = []
    for line in rec.recommend(user, 1000, context=CONTEXT):
        attributes = attributes_of(rec, line.item_id)
        if filtered is not None and not FILTERS[filtered](attributes):
            continue
        factor = 1.0 if boost is None else BOOSTS[boost](attributes)
        place = TIERS.index(line.tier)
        lines.append((place, -line.score * factor, -factor, len(lines), line.item_id, line.tier))
    return sorted(lines)


@settings(max_examples=EXAMPLES, deadline=None)
@given(
    st.sampled_from([*(f"u{n}" for n in range(N_USERS)), "new"]),
    st.none() | st.sampled_from(sorted(FILTERS)),
    st.none() | st.sampled_from(sorted(BOOSTS)),
    st.integers(1, 30),
)
def test_lists_equal_a_comparison_of_all_items(
    rec: nl.Recommender, user: str, filtered: str | None, boost: str | None, k: int
) -> None:
    options: dict[str, Any] = {"filter": filtered, "boost": boost, "context": CONTEXT}
    found = rec.recommend(user, k, **options)
    whole = expected(rec, user, filtered, boost)
    assert len(found) == min(k, len(whole))
    assert [line.tier for line in found] == [line[-1] for line in whole[:k]]
    scores = [-line[1] for line in whole[:k]]
    assert [line.score for line in found] == pytest.approx(scores, rel=1e-12)
    # Items with equal scores and factors may come in any order.
    known = {line[-2]: (-line[1], line[-1]) for line in whole}
    for line in found:
        assert (pytest.approx(line.score), line.tier) == known[line.item_id]
    assert len({line.item_id for line in found}) == len(found)
    users = list(dict.fromkeys([user, "u0", "u1"]))
    many = rec.recommend_many(users, k, **options).to_pylist()
    assert [(row["item_id"], row["score"]) for row in many if row["user_id"] == user] == [
        (line.item_id, line.score) for line in found
    ]


def test_a_boost_lifts_an_item_from_anywhere(rec: nl.Recommender) -> None:
    plain = [line for line in rec.recommend("u0", 1000) if line.tier == "personal"]
    last = plain[-1].item_id
    lifted = rec.recommend("u0", 3, boost=f'item_id == "{last}" ? 1000000.0 : 1.0')
    assert lifted[0].item_id == last
    assert lifted[0].score == pytest.approx(1e6 * plain[-1].score)


def test_similar_and_rank_have_the_same_rules(rec: nl.Recommender) -> None:
    whole = rec.similar("i1", 1000)
    selected = [line for line in whole if FILTERS["price < 20"](attributes_of(rec, line.item_id))]
    assert 2 < len(selected) < len(whole)
    assert rec.similar("i1", 3, filter="price < 20") == selected[:3]
    boosts = BOOSTS["price"]
    best = max(whole, key=lambda line: line.score * boosts(attributes_of(rec, line.item_id)))
    assert rec.similar("i1", 1, boost="price")[0].item_id == best.item_id
    ids = [f"i{n}" for n in range(20)] + ["unknown"]
    ranked = rec.rank("u0", ids, filter="price < 20")
    plain = [line for line in rec.rank("u0", ids) if line.item_id in {x.item_id for x in ranked}]
    assert ranked == plain
    assert {line.item_id for line in ranked} == {
        item for item in ids[:-1] if FILTERS["price < 20"](attributes_of(rec, item))
    }
    doubled = rec.rank("u0", ids[:5], boost="2")
    assert [line.score for line in doubled] == [2 * line.score for line in rec.rank("u0", ids[:5])]


def test_a_minimum_score_leaves_out_everything_below(rec: nl.Recommender) -> None:
    whole = rec.recommend("u0", 1000)
    least = whole[3].score
    assert rec.recommend("u0", 1000, min_score=least) == whole[:4]
    assert rec.recommend("u0", 1000, min_score=least, boost="2")[0].score == 2 * whole[0].score
    assert rec.recommend("u0", 5, min_score=1e6) == []
    assert all(line.score >= 1e-8 for line in rec.recommend("new", 1000, min_score=1e-8))
    assert rec.similar("i1", 9, min_score=1e6) == []


def test_explanations_show_the_factor(rec: nl.Recommender) -> None:
    for line in rec.recommend("u0", 40, boost="price", explain=True):
        why = rec.explain("u0", line.item_id, boost="price")
        price = float(attributes_of(rec, line.item_id).get("price", 1.0))
        assert line.factor == why.factor == price
        assert why.score == pytest.approx(line.score)
        assert sum(part.amount for part in why.parts) == pytest.approx(why.score)
        plain = rec.explain("u0", line.item_id)
        assert plain.factor is None
        assert why.score == pytest.approx(price * plain.score)


def test_fields_are_shown(rec: nl.Recommender) -> None:
    line = rec.recommend("u0", 1, filter="has(price) && has(sale)", fields=["price", "sale"])[0]
    assert line.fields == {"price": attributes_of(rec, line.item_id)["price"], "sale": True}
    frame = rec.recommend_many(["u0"], 50, fields="price,sale,text")
    assert frame.schema.field("price").type == pa.float64()
    assert frame.schema.field("sale").type == pa.bool_()
    for row in frame.to_pylist():
        assert row["price"] == attributes_of(rec, row["item_id"]).get("price")
        assert row["text"].startswith("kind")
    with pytest.raises(InvalidInput, match="fields: no item has an attribute 'prise'") as caught:
        rec.recommend("u0", fields=["prise"])
    assert caught.value.field == "fields"


def test_a_filter_follows_each_change_of_an_item() -> None:
    with nl.Recommender() as rec:
        for n in range(4):
            rec.put_item(f"i{n}", attributes={"price": n})
        assert {line.item_id for line in rec.recommend("u", filter="price < 2")} == {"i0", "i1"}
        rec.patch_item("i0", {"attributes": {"price": 5}})
        rec.put_item("i4", attributes={"price": 0.5})
        assert {line.item_id for line in rec.recommend("u", filter="price < 2")} == {"i1", "i4"}
        rec.delete_item("i1").result()
        rec.observe("v", "unknown")
        assert {line.item_id for line in rec.recommend("u", filter="price < 2")} == {"i4"}
        assert "unknown" in {line.item_id for line in rec.recommend("u", filter="!(price < 2)")}
