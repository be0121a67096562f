"""Served lists and their report through Python, HTTP and the command line."""

from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from litestar.testing import TestClient
from tests.cli.running import run, run_json
from tests.server.serving import wait_until_ready

import nearline as nl
from nearline.errors import InvalidInput
from nearline.schema import RecommendationRequest
from nearline.served import Served
from nearline.server import create_app

LISTS = "/v1/users/{}/recommendations"


def interactions() -> pa.Table:
    rows = [(f"u{n}", f"i{(n + step) % 12}") for n in range(8) for step in range(4)]
    users, items = zip(*rows, strict=True)
    return pa.table({"user_id": users, "item_id": items})


def entries(rec: nl.Recommender) -> list[Served]:
    return [entry for entry in rec.served.entries() if isinstance(entry, Served)]


def test_only_marked_lists_are_kept() -> None:
    with nl.Recommender().fit(interactions()) as rec:
        rec.recommend("u1")
        assert not rec.served.used
        answer = rec.answer(RecommendationRequest(user_id="u1", track=True, context={"page": "x"}))
        rec.put_scenario("home", track=True, k=2)
        rec.recommend("u2", scenario="home")
        rec.recommend("u2", scenario="home", track=False)
        rec.recommend_many(["u2"], scenario="home")
        first, second = entries(rec)
        assert first.recommendation_id == answer.recommendation_id
        assert first.item_ids == tuple(line.item_id for line in answer.items)
        assert (first.context, first.policy, first.propensities) == ({"page": "x"}, "greedy", None)
        assert (second.user_id, second.scenario, len(second.item_ids)) == ("u2", "home", 2)
        assert rec.served.folder is None
        rec.fit(interactions())
        assert entries(rec) == []


def test_a_list_is_kept_each_time_that_it_is_sent(tmp_path: Path) -> None:
    nl.Recommender(tmp_path / "shop").fit(interactions()).close()
    app = create_app(lambda: nl.Recommender(tmp_path / "shop"))
    with TestClient(app) as client:
        wait_until_ready(client.get)
        client.put("/v1/scenarios/home", json={"track": True, "k": 3})
        for _ in range(3):  # the second and third from the cache
            answer = client.get(LISTS.format("u1"), params={"scenario": "home"})
            assert answer.status_code == 200
        client.get(LISTS.format("u1"))
        shown = answer.json()
        seen = [shown["items"][0]["item_id"], shown["items"][1]["item_id"]]
        body = {"recommendation_id": shown["recommendation_id"], "item_ids": seen}
        assert client.post("/v1/impressions", json=body).json() == {"accepted": 2}
        click = {"user_id": "u1", "item_id": seen[1], "event": "click"}
        named = click | {"recommendation_id": shown["recommendation_id"]}
        assert client.post("/v1/events", json=named).status_code == 200
        report = client.get("/v1/report").json()
        assert (report["total"]["lists"], report["total"]["items"]) == (3, 6)
        assert (report["total"]["clicked"], report["events"]) == (1, {"click": 1})
        by = {line["value"]: line["clicked"] for line in report["by"]["position"]}
        assert by == {"1": 0, "2": 1}
        assert client.get("/v1/report?scenario=other").json()["total"]["lists"] == 0
        assert client.get("/v1/report?since=2020-01-01&until=2021-01-01").json()["users"] == 0
        assert client.get("/v1/report?since=1600000000").json()["users"] == 1
        for query in ("since=yesterday", "until=x", "scenario=", "sinse=1"):
            assert client.get(f"/v1/report?{query}").status_code == 400, query
        assert client.delete("/v1/users/u1").status_code == 200
        assert client.get("/v1/report").json()["total"]["lists"] == 0
    for file in (tmp_path / "shop").rglob("*"):
        assert not file.is_file() or shown["recommendation_id"].encode() not in file.read_bytes()


def test_lists_made_in_advance_count_only_when_sent() -> None:
    app = create_app(lambda: nl.Recommender().fit(interactions()))
    with TestClient(app) as client:
        wait_until_ready(client.get)
        client.put("/v1/scenarios/home", json={"track": True})
        client.get(LISTS.format("u1"), params={"scenario": "home"})
        client.post("/v1/preload", json={"user_ids": ["u2", "u3"]})
        context = app.api.state["context"]
        for _ in range(6_000):
            if context.cache.made_ahead >= 2:
                break
            client.get("/livez")
        assert client.get("/v1/report").json()["total"]["lists"] == 1


def test_the_command_line_has_the_same_report(tmp_path: Path) -> None:
    store, picture = tmp_path / "shop", tmp_path / "report.svg"
    with nl.Recommender(store).fit(interactions()) as rec:
        answer = rec.answer(RecommendationRequest(user_id="u1", track=True))
        item, name = answer.items[0].item_id, answer.recommendation_id
        rec.observe("u1", item, "purchase", recommendation_id=name)
        expected = rec.report()
        rec.save(tmp_path / "copy")
    assert expected.total.converted == 1
    found: Any = run_json("report", "--store", store, "--picture", picture)
    assert found["total"]["conversion"] == expected.total.conversion
    assert picture.read_text().startswith("<?xml")
    shown = run("report", "--store", store, "--by", "tier", "--since", "2020-01-01")
    assert shown.exit_code == 0
    assert "personal" in shown.stdout
    assert run("report", "--store", store, "--since", "soon").exit_code == 1
    with nl.Recommender(tmp_path / "copy") as rec:
        assert rec.report() == expected


def test_wrong_settings_are_refused() -> None:
    for settings in ({"served_days": 0.0}, {"attribution": {"click": 0.0}}):
        with pytest.raises(InvalidInput):
            nl.Config(**settings)
    for value in ("yes", 1, 0.5):
        with nl.Recommender() as rec, pytest.raises(InvalidInput):
            rec.recommend("u", track=value)
    assert nl.Config(attribution={"Add to cart": 5.0}).windows == {"cart": 5.0}
