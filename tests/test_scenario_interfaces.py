"""Scenarios and rules through Python, HTTP and the command line."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from litestar.testing import TestClient
from tests.cli.running import run_json
from tests.server.serving import wait_until_ready

import nearline as nl
from nearline.errors import InvalidInput, UnknownRule, UnknownScenario
from nearline.schema import RecommendationRequest
from nearline.server import Gateway, create_app

NOW = 1_700_000_000.0
USERS = [f"u{n}" for n in range(8)]


def interactions() -> pa.Table:
    rows = [(user, f"i{(n + step) % 12}") for n, user in enumerate(USERS) for step in range(4)]
    users, items = zip(*rows, strict=True)
    return pa.table({"user_id": users, "item_id": items})


def filled(path: Path | None = None) -> nl.Recommender:
    rec = nl.Recommender(path, clock=lambda: NOW)
    rec.fit(interactions(), seed=1)
    for number in range(12):
        rec.put_item(
            f"i{number}", title=f"item {number}", categories=["even", "odd"][number % 2 :][:1]
        )
    return rec


@pytest.fixture(scope="module")
def rec() -> Iterator[nl.Recommender]:
    with filled() as engine:
        yield engine


@pytest.fixture(scope="module")
def client() -> Iterator[TestClient[Gateway]]:
    with TestClient(create_app(filled), raise_server_exceptions=False) as test_client:
        wait_until_ready(test_client.get)
        yield test_client


def test_a_scenario_holds_where_the_request_sets_nothing(rec: nl.Recommender) -> None:
    rec.put_scenario("home", k=3, category="even", repeats="include")
    plain = rec.recommend("u1", k=3, category="even", repeats="include")
    assert rec.recommend("u1", scenario="home") == plain
    longer = rec.recommend("u1", 5, category="even", repeats="include")
    assert rec.recommend("u1", k=5, scenario="home") == longer
    assert len(rec.recommend("u1", k=10, scenario="home", category="odd")) == 6
    assert len(rec.recommend("u1")) == 8  # the default length, without the seen items
    frame = rec.recommend_many(["u1"], scenario="home")
    assert frame["item_id"].to_pylist() == [line.item_id for line in plain]


def test_other_lists_take_a_scenario_too(rec: nl.Recommender) -> None:
    rec.put_scenario("even", filter='"even" in categories', boost="2.0", k=2)
    expected = rec.similar("i1", k=5, filter='"even" in categories', boost="2.0")
    assert rec.similar("i1", k=5, scenario="even") == expected
    ranked = rec.rank("u1", ["i1", "i2", "i3", "i4"], scenario="even")
    assert {line.item_id for line in ranked} == {"i2", "i4"}
    own = rec.rank("u1", ["i1", "i2"], scenario="even", filter="true")
    assert {line.item_id for line in own} == {"i1", "i2"}
    assert {line.item_id for line in rec.popular(scenario="even")} == {
        f"i{n}" for n in range(0, 12, 2)
    }
    with pytest.raises(UnknownScenario):
        rec.similar("i1", scenario="evne")


def test_an_export_has_the_lists_of_the_scenario(rec: nl.Recommender, tmp_path: Path) -> None:
    rec.put_scenario("mail", k=2, category="odd")
    rec.export(tmp_path / "lists", scenario="mail")
    import pyarrow.dataset as ds

    found = ds.dataset(tmp_path / "lists").to_table()
    assert found.equals(rec.recommend_many(scenario="mail").select(found.column_names))
    again = rec.export(tmp_path / "lists", scenario="mail")
    assert again.resumed == 1
    rec.put_scenario("mail", k=1, category="odd")
    assert rec.export(tmp_path / "lists", scenario="mail").started_over


def test_the_id_of_an_answer_depends_on_what_the_scenario_says(rec: nl.Recommender) -> None:
    def named(**options: Any) -> str:
        request = RecommendationRequest(user_id="u1", **options)
        return rec.answer(request).recommendation_id

    rec.put_scenario("ids", k=3)
    first = named(scenario="ids")
    assert first == named(scenario="ids", k=3) != named(k=3)
    rec.put_scenario("ids", k=4)
    assert named(scenario="ids") != first
    assert named() == named(k=10)


def test_unknown_names_are_refused_with_the_nearest(rec: nl.Recommender) -> None:
    rec.put_scenario("checkout", k=3)
    with pytest.raises(UnknownScenario, match="did you mean 'checkout'"):
        rec.recommend("u1", scenario="chekout")
    with pytest.raises(UnknownScenario, match="did you mean 'checkout'"):
        rec.scenario("chekout")
    with pytest.raises(UnknownScenario):
        rec.delete_scenario("nothing like it")
    with pytest.raises(UnknownRule):
        rec.delete_rule("none")
    with pytest.raises(InvalidInput, match="no rule"):
        rec.put_scenario("checkout", rules=["none"])
    with pytest.raises(InvalidInput, match="did you mean 'checkout'"):
        rec.put_rule("r", pin={"item_id": "i1", "position": 1}, scenario="chekout")
    with pytest.raises(InvalidInput, match="store the item first") as refused:
        rec.put_rule("r", pin={"item_id": "i99", "position": 1})
    assert refused.value.field == "pin.item_id"
    assert rec.scenario("checkout") == {"name": "checkout", "k": 3}
    assert rec.rules() == []


def test_definitions_are_there_after_a_restart_and_a_lost_checkpoint(tmp_path: Path) -> None:
    with nl.Recommender(tmp_path / "store") as rec:
        rec.observe("u", "i")
        rec.put_scenario("home", k=2)
        rec.put_scenario("old", k=2)
        rec.delete_scenario("old")
        rec.put_rule("top", pin={"item_id": "i", "position": 1}, start=5, until="2030-01-01")
        before = rec.scenarios(), rec.rules(), rec.stamp
    rule = {"pin": {"item_id": "i", "position": 1}, "from": 5.0, "until": 1_893_456_000.0}
    assert before[:2] == ([{"name": "home", "k": 2}], [{"name": "top", **rule}])
    for _ in range(2):
        with nl.Recommender(tmp_path / "store") as rec:
            assert (rec.scenarios(), rec.rules(), rec.stamp) == before
        (tmp_path / "store" / "state.checkpoint").unlink()


def test_a_new_fit_in_memory_keeps_the_definitions() -> None:
    with nl.Recommender() as rec:
        rec.put_scenario("home", k=2)
        rec.fit(interactions())
        assert len(rec.recommend("u1", scenario="home")) == 2


def test_http_stores_lists_and_deletes(client: TestClient[Gateway]) -> None:
    answer = client.put("/v1/scenarios/caf%C3%A9%2Fhome", json={"k": 4, "repeats": "include"})
    assert answer.json()["accepted"] == 1
    stored = {"name": "café/home", "k": 4, "repeats": "include"}
    assert client.get("/v1/scenarios/caf%C3%A9%2Fhome").json() == stored
    assert stored in client.get("/v1/scenarios").json()["scenarios"]
    assert client.put("/v1/scenarios/caf%C3%A9%2Fhome", json=stored).status_code == 200
    query = {"scenario": "café/home"}
    single = client.get("/v1/users/u2/recommendations", params=query).json()["items"]
    assert len(single) == 4
    batch = client.post("/v1/recommendations:batch", json={"user_ids": ["u2"], **query}).json()
    assert [line["item_id"] for line in batch["items"][0]["items"]] == [
        line["item_id"] for line in single
    ]
    session = client.post("/v1/recommendations", json={"history": ["i1"], **query}).json()
    assert len(session["items"]) == 4
    assert (
        len(client.get("/v1/users/u2/recommendations", params=query | {"k": 2}).json()["items"])
        == 2
    )
    assert client.delete("/v1/scenarios/caf%C3%A9%2Fhome").status_code == 200
    assert client.get("/v1/users/u2/recommendations", params=query).status_code == 404
    rule = {"pin": {"item_id": "i3", "position": 2}, "until": "2030-01-01T00:00:00Z"}
    assert client.put("/v1/rules/top", json=rule).status_code == 200
    assert client.get("/v1/rules/top").json()["until"] == 1_893_456_000.0
    assert [one["name"] for one in client.get("/v1/rules").json()["rules"]] == ["top"]
    assert client.delete("/v1/rules/top").status_code == 200
    problem = client.get("/v1/rules/top")
    assert (problem.status_code, problem.json()["type"]) == (
        404,
        "urn:nearline:problem:unknown-rule",
    )


@pytest.mark.parametrize(
    ("path", "body", "field"),
    [
        ("scenarios/s", {"scenario": "s"}, "scenario"),
        ("scenarios/s", {"k": 0}, "k"),
        ("scenarios/s", {"k": "5"}, "k"),
        ("scenarios/s", {"lenght": 5}, "lenght"),
        ("scenarios/s", [1], "body"),
        ("scenarios/" + "x" * 513, {"k": 5}, "name"),
        ("rules/r", {}, "pin"),
        ("rules/r", {"pin": {"item_id": "nowhere", "position": 1}}, "pin.item_id"),
        ("rules/r", {"pin": {"item_id": "i1", "position": -1}}, "pin.position"),
    ],
)
def test_http_refuses_and_stores_nothing(
    client: TestClient[Gateway], path: str, body: Any, field: str
) -> None:
    offset = client.get("/v1/users/u1/recommendations").json()["offset"]
    answer = client.put(f"/v1/{path}", json=body)
    assert (answer.status_code, answer.json()["field"]) == (400, field), answer.text
    assert client.get("/v1/users/u1/recommendations").json()["offset"] == offset


def test_the_command_line_has_the_same_lists(tmp_path: Path) -> None:
    store = tmp_path / "store"
    with filled(store) as rec:
        expected = [line.item_id for line in rec.recommend("u1", 3, category="even")]
    put = run_json("scenarios", "put", "--store", store, "home", "-k", "3", "--category", "even")
    assert put["accepted"] == 1
    listed = run_json("scenarios", "list", "--store", store)
    assert listed == {"scenarios": [{"name": "home", "k": 3, "category": "even"}]}
    found = run_json("recommend", "--store", store, "u1", "--scenario", "home")
    assert [line["item_id"] for line in found["items"]] == expected
    arguments = ("--pin", "i3", "--position", "2", "--from", "2030-01-01", "--scenario", "home")
    run_json("rules", "put", "--store", store, "top", *arguments)
    rule = {"pin": {"item_id": "i3", "position": 2}, "scenario": "home", "from": 1_893_456_000.0}
    assert run_json("rules", "list", "--store", store) == {"rules": [{"name": "top", **rule}]}
    run_json("rules", "delete", "--store", store, "top")
    run_json("scenarios", "delete", "--store", store, "home")
    assert run_json("scenarios", "list", "--store", store) == {"scenarios": []}
