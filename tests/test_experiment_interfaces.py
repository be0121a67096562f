"""Experiments through Python, HTTP and the command line."""

from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from litestar.testing import TestClient
from tests.cli.running import run, run_json
from tests.server.serving import wait_until_ready

import nearline as nl
from nearline.common.assignment import bucket
from nearline.errors import InvalidInput, UnknownExperiment
from nearline.schema import RecommendationRequest
from nearline.served import Served
from nearline.server import create_app

NOW = 1_700_000_000.0
USERS = [f"u{n}" for n in range(40)]
TWO = {"a": {}, "b": {"settings": {"k": 2}}}


def interactions() -> pa.Table:
    rows = [(user, f"i{(n + step) % 12}") for n, user in enumerate(USERS) for step in range(4)]
    users, items = zip(*rows, strict=True)
    return pa.table({"user_id": users, "item_id": items})


def filled(path: Path | None = None) -> nl.Recommender:
    rec = nl.Recommender(path, clock=lambda: NOW)
    return rec.fit(interactions(), seed=1)


def ask(rec: nl.Recommender, user: str, **options: Any) -> Any:
    return rec.answer(RecommendationRequest(user_id=user, **options))


def test_users_get_the_list_of_their_variant_and_it_is_kept() -> None:
    with filled() as rec:
        plain = {user: ask(rec, user) for user in USERS}
        rec.experiments.put("short", variants=TWO)
        for user in USERS:
            variant = "a" if bucket("short", user) < 0.5 else "b"
            answer = ask(rec, user)
            assert (answer.variant, answer.experiments) == (variant, {"short": variant})
            assert rec.experiments.variant("short", user) == variant
            if variant == "a":
                assert answer.items == plain[user].items
            else:
                assert answer.items == plain[user].items[:2]
                assert ask(rec, user, k=3).items == plain[user].items[:3]  # the request's own value
        kept = [one for one in rec.served.entries() if isinstance(one, Served)]
        assert {one.experiments["short"] for one in kept} == {"a", "b"}
        frame = rec.recommend_many(USERS)
        rows = list(zip(*(frame[name].to_pylist() for name in ("user_id", "item_id")), strict=True))
        assert rows == [(user, line.item_id) for user in USERS for line in ask(rec, user).items]
        session = rec.answer(RecommendationRequest(history=("i1",)))
        assert (session.variant, session.experiments) == (None, {})
        rec.experiments.stop("short")
        assert ask(rec, "u1").variant is None
        assert rec.experiments.get("short")["stopped"] == "stopped by hand"


def test_scenarios_layers_holdout_and_coverage() -> None:
    with filled() as rec:
        rec.put_scenario("home", k=5)
        rec.put_scenario("new", k=3)
        variants = {"old": {}, "new": {"scenario": "new"}}
        rec.experiments.put("page", scenario="home", variants=variants, holdout=0.2, coverage=0.8)
        seen = set()
        for user in USERS:
            assert ask(rec, user).variant is None
            answer = ask(rec, user, scenario="home")
            seen.add(answer.variant)
            assert len(answer.items) == (3 if answer.variant == "new" else 5)
            held = bucket("holdout:page", user) < 0.2
            assert held == (answer.variant == "holdout")
        assert seen == {"old", "new", "holdout", None}
        halves: Any = [{"name": "l", "from": 0.0, "to": 0.5}, {"name": "l", "from": 0.5}]
        rec.experiments.put("left", variants=TWO, layer=halves[0])
        with pytest.raises(InvalidInput, match="overlaps"):
            rec.experiments.put("right", variants=TWO, layer=halves[0])
        rec.experiments.put("right", variants=TWO, layer=halves[1])
        both = [set(ask(rec, user).experiments) for user in USERS]
        assert all(len(one) == 1 for one in both)
        assert set().union(*both) == {"left", "right"}
        answer = ask(rec, "u3", scenario="home")
        assert answer.variant == answer.experiments[min(answer.experiments)]


def test_interleaved_lists_hold_still_and_name_their_teams() -> None:
    with filled() as rec:
        variants = {"plain": {}, "diverse": {"settings": {"filter": 'item_id != "i5"'}}}
        rec.experiments.put("mix", variants=variants, mode="interleave")
        answer = ask(rec, "u1", k=4)
        assert (answer.variant, answer.experiments) == ("interleave", {"mix": "interleave"})
        assert answer == ask(rec, "u1", k=4)
        teams = [line.variant for line in answer.items]
        assert sorted(set(teams)) == ["diverse", "plain"]
        assert all(set(teams[at : at + 2]) == {"plain", "diverse"} for at in (0, 2))
        frame = rec.recommend_many(["u1"], k=4)
        assert frame["item_id"].to_pylist() == [line.item_id for line in answer.items]
        kept = [one for one in rec.served.entries() if isinstance(one, Served)]
        assert kept[0].teams == tuple(teams)
        assert answer.next is None
        for at, line in enumerate(answer.items):
            if teams[at] == "diverse":
                rec.observe("u1", line.item_id, "click", recommendation_id=answer.recommendation_id)
        results = rec.experiments.results("mix")
        assert [one.variant for one in results.variants] == ["interleave"]
        assert results.comparisons[0].difference == 1.0


def test_results_compare_users_and_guardrails_stop(tmp_path: Path) -> None:
    with filled(tmp_path / "shop") as rec:
        rails = [{"metric": "purchase", "worst": -0.1}]
        fields: Any = {"variants": TWO, "planned": 500, "guardrails": rails, "segment": "country"}
        rec.experiments.put("e", **fields)
        for n in range(600):
            user = f"v{n}"
            answer = ask(rec, user)
            line, name = answer.items[0].item_id, answer.recommendation_id
            rec.put_user(user, country="FR") if n == 0 else None
            if answer.variant == "a" or n % 8 == 0:
                rec.observe(user, line, "click", recommendation_id=name)
            if answer.variant == "a" and n % 2:
                rec.observe(user, line, "purchase", recommendation_id=name)
        results = rec.experiments.results("e")
        first, second = results.variants
        assert first.users + second.users == 600
        assert (results.control, results.sound, first.rate) == ("a", True, 1.0)
        compared = results.comparisons[0]
        assert compared.significant
        assert compared.difference == pytest.approx(second.rate - 1.0)
        assert list(results.segments) == ["FR"]
        assert rec.check_guardrails() == ["e"]
        stopped = rec.experiments.get("e")
        assert not stopped["running"]
        assert "guardrail purchase" in stopped["stopped"]
        assert ask(rec, "v1").variant is None
        assert rec.experiments.results("e").stopped == stopped["stopped"]
        before, stamp = rec.experiments.list(), rec.stamp
    for _ in range(2):  # equal after a restart, and after a replay of the whole log
        with nl.Recommender(tmp_path / "shop", clock=lambda: NOW) as rec:
            assert (rec.experiments.list(), rec.stamp) == (before, stamp)
        (tmp_path / "shop" / "state.checkpoint").unlink()


def test_a_variant_may_have_a_model_of_its_own(tmp_path: Path) -> None:
    with filled(tmp_path / "shop") as rec:
        old = rec.model_id
        rec.fit(seed=2)
        assert rec.model_id != old
        rec.experiments.put("m", variants={"now": {}, "old": {"model": old}})
        users = {rec.experiments.variant("m", user): user for user in USERS}
        assert ask(rec, users["old"]).model == old
        assert ask(rec, users["now"]).model == rec.model_id
        rec.observe(users["old"], "i11")
        assert rec.forget(users["old"]).result() == 5
        current = rec.model_id
    with nl.Recommender(tmp_path / "shop") as rec:
        assert ask(rec, users["old"]).model == old
        assert ask(rec, users["now"]).model == current


def test_a_change_begins_the_experiment_again() -> None:
    time = [NOW]
    with nl.Recommender(clock=lambda: time[0]) as rec:
        rec.observe("u", "i")
        rec.experiments.put("e", variants=TWO)
        time[0] += 10
        rec.experiments.put("e", variants=TWO, metric="purchase")
        assert rec.experiments.get("e")["started"] == NOW
        rec.experiments.put("e", variants={"a": {}, "c": {}})
        assert rec.experiments.get("e")["started"] == NOW + 10
        stored = rec.experiments.get("e")
        rec.experiments.put(**stored)
        assert rec.experiments.get("e") == stored
        rec.experiments.put("off", variants=TWO, running=False)
        assert "started" not in rec.experiments.get("off")


WRONG: list[tuple[dict[str, Any], str]] = [
    ({}, "variants"),
    ({"variants": {"a": {}}}, "variants"),
    ({"variants": 5}, "variants"),
    ({"variants": {"a": {}, "b": {"weight": 0}}}, "variants.b.weight"),
    ({"variants": {"a": {}, "b": {"scenario": "none"}}}, "variants.b.scenario"),
    ({"variants": {"a": {}, "b": {"settings": {"k": 0}}}}, "k"),
    ({"variants": {"a": {}, "b": {"settings": {"kk": 1}}}}, "variants.b.settings"),
    ({"variants": {"a": {}, "b": {"settings": {"filter": "nothing > 1"}}}}, "filter"),
    ({"variants": {"a": {}, "holdout": {}}}, "variants"),
    ({"variants": TWO, "coverage": 1.5}, "coverage"),
    ({"variants": TWO, "mode": "abc"}, "mode"),
    ({"variants": TWO | {"c": {}}, "mode": "interleave"}, "variants"),
    ({"variants": TWO, "layer": {"name": "l", "from": 0.5, "to": 0.5}}, "layer"),
    ({"variants": TWO, "guardrails": [{"worst": 2.0}]}, "guardrails.worst"),
    ({"variants": TWO, "planned": 1}, "planned"),
    ({"variants": TWO, "unknown": 1}, "unknown"),
    ({"variants": TWO, "scenario": "none"}, "scenario"),
]


def test_http_has_the_same_experiments() -> None:
    app = create_app(filled)
    with TestClient(app, raise_server_exceptions=False) as client:
        wait_until_ready(client.get)
        offset = client.get("/v1/users/u1/recommendations").json()["offset"]
        for body, field in WRONG:
            answer = client.put("/v1/experiments/e", json=body)
            assert (answer.status_code, answer.json()["field"]) == (400, field), answer.text
        answer = client.put("/v1/experiments/e", json={"variants": {"a": {}, "b": {"model": "no"}}})
        assert (answer.status_code, answer.json()["type"]) == (
            404,
            "urn:nearline:problem:unknown-snapshot",
        )
        assert client.get("/v1/users/u1/recommendations").json()["offset"] == offset
        variants = [{"name": "a"}, {"name": "b", "settings": {"k": 2}}]
        assert client.put("/v1/experiments/e", json={"variants": variants}).status_code == 200
        stored = client.get("/v1/experiments/e").json()
        assert stored["variants"] == {"a": {}, "b": {"settings": {"k": 2}}}
        assert client.put("/v1/experiments/e", json=stored).status_code == 200
        assert client.get("/v1/experiments").json() == {"experiments": [stored]}
        lists = [client.get(f"/v1/users/{user}/recommendations").json() for user in USERS]
        assert {one["variant"] for one in lists} == {"a", "b"}
        again = [client.get(f"/v1/users/{user}/recommendations").json() for user in USERS]
        assert again == lists
        results = client.get("/v1/experiments/e/results").json()
        assert sum(one["lists"] for one in results["variants"]) == 80
        assert client.post("/v1/experiments/e/stop").status_code == 200
        assert "variant" not in client.get("/v1/users/u1/recommendations").json()
        assert client.delete("/v1/experiments/e").status_code == 200
        for path in ("", "/results"):
            assert client.get(f"/v1/experiments/e{path}").status_code == 404


def test_the_command_line_has_the_same_experiments(tmp_path: Path) -> None:
    store = tmp_path / "shop"
    with filled(store) as rec, pytest.raises(UnknownExperiment, match="none is stored"):
        rec.experiments.get("e")
    variant = 'b={"settings": {"k": 2}}'
    run_json("experiments", "put", "--store", store, "e", "--variant", "a", "--variant", variant)
    found = run_json("recommend", "--store", store, "u1")
    assert found["variant"] in ("a", "b")
    listed = run_json("experiments", "list", "--store", store)["experiments"]
    assert [one["name"] for one in listed] == ["e"]
    results = run_json("experiments", "results", "--store", store, "e")
    assert sum(one["lists"] for one in results["variants"]) == 1
    shown = run("experiments", "results", "--store", store, "e")
    assert "against a" in shown.stdout
    run_json("experiments", "stop", "--store", store, "e")
    assert "stopped by hand" in run("experiments", "list", "--store", store).stdout
    run_json("experiments", "delete", "--store", store, "e")
    assert run("experiments", "put", "--store", store, "e", "--variant", "a=1").exit_code == 2
