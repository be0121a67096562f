"""Merchandising rules against lists that are put together from lists without rules."""

import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from litestar.testing import TestClient
from tests.server.serving import wait_until_ready

import nearline as nl
from nearline.errors import InvalidInput
from nearline.schema import RecommendationRequest
from nearline.server import create_app

NOW = 1_700_000_000.0
USERS = [f"u{n}" for n in range(6)]
ITEMS = [f"i{n}" for n in range(20)]
FILTERS = ["price < 8", 'brand == "b1"', '"even" in categories', "price > 100", "has(colour)"]


class Clock:
    now = NOW

    def __call__(self) -> float:
        return self.now


def shop(path: Path | None = None, clock: Any = lambda: NOW) -> nl.Recommender:
    rec = nl.Recommender(path, clock=clock)
    rows = [(user, ITEMS[(3 * n + step) % 16]) for n, user in enumerate(USERS) for step in range(5)]
    users, items = zip(*rows, strict=True)
    rec.fit(pa.table({"user_id": users, "item_id": items}), seed=1)
    for n, item in enumerate(ITEMS):
        attributes = {"price": n, "brand": f"b{n % 3}"} | ({"colour": "red"} if n % 4 == 0 else {})
        rec.put_item(item, categories=[["even", "odd"][n % 2]], attributes=attributes)
    rec.put_item("i15", available=False)
    rec.observe("u0", "i7", "dislike")
    return rec


@pytest.fixture(scope="module")
def rec() -> Iterator[nl.Recommender]:
    with shop() as engine:
        yield engine


actions = st.one_of(
    st.builds(
        lambda item, position: {"pin": {"item_id": item, "position": position}},
        st.sampled_from(ITEMS),
        st.integers(1, 8),
    ),
    st.sampled_from(FILTERS).map(lambda text: {"bury": {"filter": text}}),
    st.builds(
        lambda text, factor: {"scale": {"filter": text, "factor": factor}},
        st.sampled_from(FILTERS),
        st.sampled_from([0.0, 0.25, 2.0, 1e-3, 50.0]),
    ),
)


def ids(rec: nl.Recommender, user: str, **options: Any) -> list[str]:
    return [line.item_id for line in rec.recommend(user, **options)]


def composed(rec: nl.Recommender, user: str, rules: dict[str, Any], k: int, **options: Any) -> Any:
    """The list with rules, from lists without: boosts, filters, and pins inserted one by one."""
    scales = [rule["scale"] for rule in rules.values() if "scale" in rule]
    buries = [rule["bury"]["filter"] for rule in rules.values() if "bury" in rule]
    pins = sorted(
        (rule["pin"]["position"], name, rule["pin"]["item_id"])
        for name, rule in rules.items()
        if "pin" in rule
    )
    seen: set[str] = set()
    pins = [pin for pin in pins if not (pin[2] in seen or seen.add(pin[2]))]  # type: ignore[func-returns-value]
    everything = set(ids(rec, user, k=1_000, **options))
    boost = " * ".join(f"({one['filter']} ? {one['factor']!r} : 1.0)" for one in scales)
    base = options.pop("filter", "true")
    hidden = " || ".join(f"({text})" for text in buries) or "false"
    more = options | ({"boost": boost} if boost else {}) | {"exclude": [pin[2] for pin in pins]}
    found = ids(rec, user, k=k, filter=f"({base}) && !({hidden})", **more)
    found += ids(rec, user, k=k, filter=f"({base}) && ({hidden})", **more)
    found, following, fired = found[:k], 0, set()
    for position, name, item in pins:
        at = min(max(position - 1, following), len(found))
        if item in everything and position <= k and at < k:
            found.insert(at, item)
            following = at + 1
            fired.add(name)
    return found[:k], fired


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    some=st.dictionaries(st.sampled_from("abcde"), actions, max_size=4),
    k=st.integers(1, 12),
    options=st.sampled_from([{}, {"filter": 'brand != "b2"'}, {"repeats": "include"}]),
)
def test_lists_with_rules_are_composed_of_lists_without(
    rec: nl.Recommender, some: dict[str, Any], k: int, options: dict[str, Any]
) -> None:
    expected = {user: composed(rec, user, some, k, **options) for user in USERS}
    for name, rule in some.items():
        rec.put_rule(name, **rule)
    try:
        together = rec.recommend_many(USERS, k=k, **options).to_pydict()
        for user in USERS:
            answer = rec.answer(RecommendationRequest(user_id=user, k=k, **options))
            listed = [line.item_id for line in answer.items]
            assert listed == expected[user][0], user
            pins = {name for name in answer.rules if "pin" in some[name]}
            assert pins == expected[user][1]
            assert {line.item_id for line in answer.items if line.tier == "pinned"} == {
                some[name]["pin"]["item_id"] for name in pins
            }
            batch = zip(together["user_id"], together["item_id"], strict=True)
            assert [item for one, item in batch if one == user] == listed
    finally:
        for rule in rec.rules():
            rec.delete_rule(rule["name"])


def test_answers_name_the_rules_that_fired(rec: nl.Recommender) -> None:
    rec.put_rule("cheap", scale={"filter": "price < 8", "factor": 3})
    rec.put_rule("none", bury={"filter": "price > 100"})
    rec.put_rule("top", pin={"item_id": "i19", "position": 1})
    rec.put_rule("hidden", pin={"item_id": "i15", "position": 2})
    rec.put_rule("later", pin={"item_id": "i18", "position": 50})
    try:
        answer = rec.answer(RecommendationRequest(user_id="u1", k=5, explain=True))
        assert answer.rules == ("cheap", "top")
        assert answer.items[0].item_id == "i19"
        assert {line.factor for line in answer.items[1:]} <= {1.0, 3.0}
        factors = {line.item_id: line.factor for line in answer.items[1:]}
        assert any(factor == 3.0 for factor in factors.values())
        before = answer.recommendation_id
        rec.delete_rule("none")
        assert rec.answer(RecommendationRequest(user_id="u1", k=5)).recommendation_id != before
    finally:
        for rule in rec.rules():
            rec.delete_rule(rule["name"])
    assert rec.answer(RecommendationRequest(user_id="u1")).rules == ()


def test_rules_of_a_scenario_apply_only_there(rec: nl.Recommender) -> None:
    rec.put_scenario("home", k=4)
    rec.put_scenario("bare", k=4, rules=[])
    before = ids(rec, "u1", k=4)
    rec.put_rule("home-only", pin={"item_id": "i19", "position": 1}, scenario="home")
    rec.put_rule("all", pin={"item_id": "i18", "position": 2})
    try:
        assert ids(rec, "u1", scenario="home")[:2] == ["i19", "i18"]
        assert ids(rec, "u1", scenario="bare") == before
        assert ids(rec, "u1")[1] == "i18"
        session = rec.answer(RecommendationRequest(history=("i1",), scenario="home"))
        assert [line.item_id for line in session.items[:2]] == ["i19", "i18"]
    finally:
        for rule in rec.rules():
            rec.delete_rule(rule["name"])


def test_positions_count_from_the_first_page(tmp_path: Path) -> None:
    with shop(tmp_path / "shop") as rec:
        rec.put_rule("fifth", pin={"item_id": "i19", "position": 5})
        pages, cursor = [], None
        for _ in range(3):
            answer = rec.answer(RecommendationRequest(user_id="u1", k=3, cursor=cursor))
            pages.append([line.item_id for line in answer.items])
            cursor = answer.next
        assert pages[1][1] == "i19"
        shown = [item for page in pages for item in page]
        assert len(set(shown)) == len(shown) == 9


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"bury": {"filter": "prise < 5"}}, "bury.filter"),
        ({"bury": {"filter": "price"}}, "bury.filter"),
        ({"bury": {"filter": ""}}, "bury.filter"),
        ({"scale": {"filter": "price <", "factor": 2}}, "scale.filter"),
        ({"scale": {"filter": "true) ? 1.0 : (2.0", "factor": 2}}, "scale.filter"),
        ({"bury": {"filter": "(" * 10_000}}, "bury.filter"),
    ],
)
def test_wrong_expressions_are_refused_when_they_are_stored(
    rec: nl.Recommender, fields: dict[str, Any], field: str
) -> None:
    offset = rec.offset
    with pytest.raises(InvalidInput) as refused:
        rec.put_rule("wrong", **fields)
    assert refused.value.field == field
    with pytest.raises(InvalidInput) as refused:
        rec.put_scenario("wrong", filter="prise < 5")
    assert refused.value.field == "filter"
    assert rec.offset == offset


def test_a_rule_begins_and_ends_at_its_times_without_any_write() -> None:
    clock = Clock()
    app = create_app(lambda: shop(clock=clock), log_stream=io.StringIO())
    with TestClient(app) as client:
        wait_until_ready(client.get)
        rule = {"pin": {"item_id": "i19", "position": 1}, "from": NOW + 10, "until": NOW + 20}
        assert client.put("/v1/rules/soon", json=rule).status_code == 200
        firsts = []
        for seconds in (0.0, 9.9, 10.0, 10.1, 19.9, 20.0, 25.0):
            clock.now = NOW + seconds
            answers = [client.get("/v1/users/u1/recommendations?k=2").json() for _ in range(2)]
            assert answers[0] == answers[1]
            firsts.append(answers[0]["items"][0]["item_id"] == "i19")
            assert (answers[0]["rules"] == ["soon"]) == firsts[-1]
        assert firsts == [False, False, True, True, True, False, False]


def test_an_export_has_the_rules(tmp_path: Path) -> None:
    import pyarrow.dataset as ds

    with shop(tmp_path / "shop") as rec:
        rec.put_scenario("mail", k=3, filter="price > 2", boost="price")
        rec.put_rule("top", pin={"item_id": "i19", "position": 2}, scenario="mail")
        rec.put_rule("last", bury={"filter": 'brand == "b0"'}, scenario="mail")
        rec.export(tmp_path / "lists", scenario="mail")
        rows = ds.dataset(tmp_path / "lists").to_table().to_pydict()
        for user in USERS:
            found = [i for u, i in zip(rows["user_id"], rows["item_id"], strict=True) if u == user]
            assert found == ids(rec, user, scenario="mail")
            assert found[1] == "i19"
