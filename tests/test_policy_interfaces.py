"""Scenarios with a model, and scenarios that choose among policies, through all interfaces."""

from collections import Counter
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from litestar.testing import TestClient
from tests.cli.running import run, run_json
from tests.server.serving import wait_until_ready

import nearline as nl
from nearline.errors import InvalidInput, NearlineError, UnknownSnapshot
from nearline.recommend.policies import policy_at
from nearline.schema import RecommendationRequest
from nearline.served import Attributed, Served
from nearline.served.attribution import Led
from nearline.served.policies import (
    PolicyCounts,
    best_arm_probabilities,
    policy_counts,
    with_floor,
)
from nearline.server import create_app

NOW = 1_700_000_000.0
USERS = [f"u{n}" for n in range(40)]
TWO: dict[str, Any] = {"policies": {"now": {}, "short": {"scenario": "short"}}}


class Clock:
    now = NOW

    def __call__(self) -> float:
        return self.now


def interactions(step: int = 1) -> pa.Table:
    rows = [(user, f"i{(n + step * at) % 12}") for n, user in enumerate(USERS) for at in range(4)]
    users, items = zip(*rows, strict=True)
    return pa.table({"user_id": users, "item_id": items})


def filled(path: Path | None = None, clock: Clock | None = None) -> nl.Recommender:
    rec = nl.Recommender(path, clock=clock or Clock()).fit(interactions(), seed=1)
    rec.put_scenario("short", k=2)
    return rec


def ask(rec: nl.Recommender, user: str | None, **options: Any) -> Any:
    return rec.answer(RecommendationRequest(user_id=user, **options))


def rows_of(frame: Any) -> list[tuple[str, str]]:
    columns = (frame[name].to_pylist() for name in ("user_id", "item_id"))
    return list(zip(*columns, strict=True))


def test_a_snapshot_answers_for_a_scenario(tmp_path: Path) -> None:
    with filled(tmp_path / "shop") as rec:
        first = rec.model_id
        plain = ask(rec, "u1").items
    other_kind = nl.Config(model="popularity", keep_snapshots=2)
    with nl.Recommender(tmp_path / "shop", config=other_kind, clock=Clock()) as rec:
        rec.fit(interactions(5))
        second = rec.model_id
        other = ask(rec, "u1").items
        assert second != first
        rec.put_scenario("old", model=first, k=5)
        answer = ask(rec, "u1", scenario="old")
        assert answer.model == first
        assert [line.item_id for line in answer.items] != [line.item_id for line in other][:5]
        ranked = rec.rank("u1", [line.item_id for line in plain], scenario="old")
        assert ranked != rec.rank("u1", [line.item_id for line in plain])
        assert rec.similar("i3", scenario="old") != rec.similar("i3")
        frame = rec.recommend_many(USERS, scenario="old")
        expected = [(u, line.item_id) for u in USERS for line in ask(rec, u, scenario="old").items]
        assert rows_of(frame) == expected
        assert ask(rec, "u1").model == second
        rec.versions.promote(first)  # now the active one; the other is named by nobody
        assert ask(rec, "u1", scenario="old").model == first
        rec.versions.promote(second)
        assert ask(rec, "u1", scenario="old") == ask(rec, "u1", scenario="old")
        assert ask(rec, "u1", scenario="old").model == first
        for n in range(4):  # a snapshot that a scenario names is not removed
            rec.fit(interactions(n + 1))
        assert ask(rec, "u1", scenario="old").model == first
        before = rec.offset
        with pytest.raises(InvalidInput, match="model: snapshot id 'nosuch' is not valid"):
            rec.put_scenario("bad", model="nosuch")
        with pytest.raises(UnknownSnapshot, match=r"model is '0{16}', which is no snapshot"):
            rec.put_scenario("bad", model="0" * 16)
        bandit = {"policies": {"a": {}, "b": {"model": "0" * 16}}}
        with pytest.raises(UnknownSnapshot, match=r"bandit.policies.b.model is '0"):
            rec.put_scenario("bad", bandit=bandit)
        assert rec.offset == before
    with nl.Recommender(tmp_path / "shop", clock=Clock()) as rec:
        assert ask(rec, "u1", scenario="old").model == first


def test_draws_hold_still_have_the_stated_probability_and_are_kept() -> None:
    clock = Clock()
    with filled(clock=clock) as rec:
        rec.put_scenario("home", k=5, bandit=TWO)
        first = {user: ask(rec, user, scenario="home") for user in USERS}
        assert {one.chosen for one in first.values()} == {"now", "short"}
        for user, answer in first.items():
            assert answer.chosen_propensity == 0.5
            assert len(answer.items) == 5  # what the scenario sets itself has priority
            assert ask(rec, user, scenario="home") == answer
            assert ask(rec, user).chosen is None
        kept = [one for one in rec.served.entries() if isinstance(one, Served)]
        assert {one.chosen for one in kept} == {"now", "short"}
        assert {one.chosen_propensity for one in kept} == {0.5}
        frame = rec.recommend_many(USERS, scenario="home")
        expected = [(user, line.item_id) for user in USERS for line in first[user].items]
        assert rows_of(frame) == expected
        session = ask(rec, None, history=("i1",), scenario="home")
        assert session.chosen in ("now", "short")
        stamp = rec.stamp
        clock.now += 3_600.0
        assert rec.stamp != stamp
        later = {user: ask(rec, user, scenario="home").chosen for user in USERS}
        assert later != {user: one.chosen for user, one in first.items()}
        found = rec.report().by["chosen"]
        assert {line.value for line in found} == {"home: now", "home: short"}
        rec.put_scenario("home", bandit=TWO)
        lengths = {ask(rec, u, scenario="home").chosen: ask(rec, u, scenario="home") for u in USERS}
        assert len(lengths["short"].items) == 2
        assert len(lengths["now"].items) > 2


def test_a_page_continues_after_another_policy_was_chosen() -> None:
    clock = Clock()
    with filled(clock=clock) as rec:
        rec.put_scenario("home", k=2, bandit=TWO)
        pages = {user: ask(rec, user, scenario="home") for user in USERS}
        clock.now += 3_600.0
        changed = 0
        for user, page in pages.items():
            following = ask(rec, user, scenario="home", cursor=page.next)
            changed += following.chosen != page.chosen
            ids = [line.item_id for one in (page, following) for line in one.items]
            assert len(ids) == len(set(ids))
        assert changed


def test_the_better_policy_is_chosen_more_often(tmp_path: Path) -> None:
    clock = Clock()
    rec = filled(tmp_path / "shop", clock)
    rec.put_scenario("home", bandit=TWO)
    assert rec.policies("home").at is None
    assert rec.update_policies() == []  # nothing was served
    clicks = Counter[str]()
    for user in USERS:
        shown = ask(rec, user, scenario="home")
        if shown.chosen == "short":
            clicks[shown.chosen] += 1
            line = shown.items[0].item_id
            rec.observe(user, line, "click", recommendation_id=shown.recommendation_id)
    assert rec.update_policies() == []  # the window has not ended
    clock.now += 3_600.0
    stamp = rec.stamp
    assert rec.update_policies() == ["home"]
    assert rec.stamp != stamp
    found = {one.name: one for one in rec.policies("home").policies}
    assert found["short"].successes == found["short"].visits == clicks["short"]
    assert found["now"].successes == 0
    assert found["short"].visits + found["now"].visits == len(USERS)
    assert found["short"].best > 0.99
    assert found["now"].probability == pytest.approx(0.01, abs=0.01)
    assert sum(one.probability for one in found.values()) == pytest.approx(1.0)
    assert rec.update_policies() == []
    chosen = {user: ask(rec, user, scenario="home").chosen for user in USERS}
    assert Counter(chosen.values())["short"] >= 35
    known = rec.policies("home")
    rec.close()
    store = ("--store", tmp_path / "shop")
    (tmp_path / "shop" / "state.checkpoint").unlink()
    with nl.Recommender(tmp_path / "shop", clock=clock) as rec:
        assert rec.policies("home") == known
        assert {user: ask(rec, user, scenario="home").chosen for user in USERS} == chosen
        policies = {"now": {}, "other": {"scenario": "short"}}
        rec.put_scenario("home", bandit={"policies": policies})
        assert {one.probability for one in rec.policies("home").policies} == {0.5}
        rec.delete_scenario("home")
        rec.put_scenario("home", bandit=TWO)
        assert rec.policies("home").at is None
    shown = run_json("scenarios", "policies", *store, "home")
    assert [one["name"] for one in shown["policies"]] == ["now", "short"]
    assert "probability" in run("scenarios", "policies", *store, "home").stdout
    put = ("scenarios", "put", *store, "cli", "--bandit")
    run_json(*put, '{"policies": {"a": {}, "b": {"scenario": "short"}}}')
    assert "no JSON" in run(*put, "{").stderr


BAD: list[tuple[Any, str]] = [
    (3, "bandit"),
    ({}, "policies"),
    ({"policies": {"a": {}}}, "it must have 2 to 20"),
    ({"policies": {f"p{n}": {} for n in range(21)}}, "it must have 2 to 20"),
    ({"policies": {"a": {}, "b": {"filter": "x"}}}, "filter"),
    ({"policies": {"a": {}, "b": {"scenario": "nosuch"}}}, "which is no scenario"),
    ({"policies": {"a": {}, "b": {"scenario": "bad"}}}, "the scenario itself"),
    ({"policies": {"a": {}, "b": {"scenario": "chooses"}}}, "chooses among policies itself"),
    ({"policies": {"a": {}, "": {}}}, "policies"),
    (TWO | {"floor": 0.001}, "from 0.01 to 0.5"),
    (TWO | {"floor": 0.6}, "from 0.01 to 0.5"),
    (TWO | {"floor": float("nan")}, "floor"),
    (TWO | {"window": 5}, "from 60 to"),
    (TWO | {"days": 0}, "days"),
    (TWO | {"metric": "\x00"}, "metric"),
    (TWO | {"rate": 1}, "rate"),
]


def test_what_is_invalid_is_refused_and_nothing_is_stored() -> None:
    with filled() as rec:
        rec.put_scenario("chooses", bandit=TWO)
        before = rec.offset
        for bandit, message in BAD:
            with pytest.raises(NearlineError, match=message):
                rec.put_scenario("bad", bandit=bandit)
        with pytest.raises(InvalidInput, match="has no bandit"):
            rec.policies("short")
        assert rec.offset == before


def test_over_http_answers_name_the_policy() -> None:
    with TestClient(create_app(filled), raise_server_exceptions=False) as client:
        wait_until_ready(client.get)
        stored = client.put("/v1/scenarios/home", json={"k": 3, "bandit": TWO})
        assert stored.status_code == 200, stored.text
        path = "/v1/users/u1/recommendations"
        answers = [client.get(path, params={"scenario": "home"}).json() for _ in range(3)]
        assert answers[0] == answers[1] == answers[2]
        assert answers[0]["chosen"] in ("now", "short")
        assert answers[0]["chosen_propensity"] == 0.5
        body = client.get("/v1/scenarios/home/policies").json()
        assert [one["probability"] for one in body["policies"]] == [0.5, 0.5]
        assert client.get("/v1/scenarios/short/policies").status_code == 400
        assert client.get("/v1/scenarios/none/policies").status_code == 404
        for bandit, _ in BAD[:8]:
            refused = client.put("/v1/scenarios/bad", json={"bandit": bandit})
            assert refused.status_code == 400, refused.text
        wrong = client.put("/v1/scenarios/bad", json={"model": "../x"})
        assert wrong.status_code in (400, 404)
        assert "no snapshot" in wrong.json()["detail"]


def test_probabilities_by_hand() -> None:
    counts = {"a": PolicyCounts(0, 0), "b": PolicyCounts(0, 0)}
    assert best_arm_probabilities(counts, 1)["a"] == pytest.approx(0.5, abs=0.015)
    # P(Beta(2, 1) > Beta(1, 1)) is the integral of 2 x * x from 0 to 1.
    counts = {"a": PolicyCounts(1, 1), "b": PolicyCounts(0, 0)}
    assert best_arm_probabilities(counts, 1)["a"] == pytest.approx(2 / 3, abs=0.015)
    assert with_floor({"a": 1.0, "b": 0.0}, 0.1) == pytest.approx({"a": 0.9, "b": 0.1})
    chances = {"a": 0.25, "b": 0.5, "c": 0.25}
    places = [policy_at(place / 1_000, chances) for place in range(1_000)]
    assert Counter(places) == {"a": 250, "b": 500, "c": 250}
    assert policy_at(1.0, chances) == "c"


def test_a_user_counts_once_in_a_window() -> None:
    def served(user: str | None, at: float, clicks: int, policy: str = "a") -> Attributed:
        one = Served(
            recommendation_id=f"{user}{at}",
            user_id=user,
            timestamp=at,
            item_ids=("x",),
            tiers=("personal",),
            model="m",
            offset=0,
            scenario="home",
            chosen=policy,
        )
        return Attributed(one, [Led("click", "x", None, at + 1.0)] * clicks, None)

    lists = [served("u", 10.0, 0), served("u", 20.0, 2), served("u", 70.0, 0)]
    lists += [served(None, 10.0, 1), served(None, 20.0, 0), served("u", 10.0, 0, "b")]
    lists += [served("v", 500.0, 1), served("w", 299.5, 1)]  # too late, and its click is
    found = policy_counts(lists, "home", "click", 60, 300.0)
    assert found == {"a": PolicyCounts(5, 2), "b": PolicyCounts(1, 0)}
    assert policy_counts(lists, "other", "click", 60, 300.0) == {}
    assert policy_counts(lists, "home", "purchase", 60, 300.0)["a"] == PolicyCounts(5, 0)
