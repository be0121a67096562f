"""One store asked with stated preferences through Python, HTTP and the command line."""

from pathlib import Path
from typing import Any

import pytest
from litestar.testing import TestClient
from tests.cli.running import run_json
from tests.server.serving import wait_until_ready

import nearline as nl
from nearline.errors import InvalidInput
from nearline.schema import RecommendationRequest
from nearline.server import Limits, create_app

WORDS = {
    "sencha": "green tea of Japan",
    "assam": "black tea",
    "teapot": "iron pot",
    "wok": "iron pan",
    "sock": "wool",
}
# Sencha has both words, assam one of them.
ASKED = "Green TEA, please"


def told(answer: dict[str, Any]) -> list[tuple[str, float, str]]:
    return [(line["item_id"], line["score"], line["tier"]) for line in answer["items"]]


@pytest.fixture
def store(tmp_path: Path) -> Path:
    with nl.Recommender(tmp_path / "store") as rec:
        for item, words in WORDS.items():
            rec.put_item(item, text=words, categories=["drink"] if "tea" in words else [])
        for user in range(5):
            rec.observe(f"u{user}", "sock")
    return tmp_path / "store"


def test_words_give_the_same_list_through_every_interface(store: Path) -> None:
    with nl.Recommender(store) as rec:
        lines = rec.recommend("new", preferences=ASKED)
        python = [(line.item_id, line.score, line.tier) for line in lines]
        session = RecommendationRequest(history=(), preferences=ASKED)
        assert rec.answer(session).items == tuple(lines)
        assert rec.answer(session).tier == "stated"
    assert [(item, tier) for item, _, tier in python[:3]] == [
        ("sencha", "stated"),
        ("assam", "stated"),
        ("sock", "trending"),
    ]
    scores = [score for _, score, _ in python]
    assert scores == sorted(scores, reverse=True)
    assert 1e-6 > scores[0] > scores[1] > 1e-7 >= scores[2]
    options = ("--store", store, "new", "--preferences", ASKED)
    again = told(run_json("recommend", *options))
    assert [(i, t) for i, _, t in again] == [(i, t) for i, _, t in python]
    body = {"history": [], "preferences": ASKED}
    with TestClient(create_app(lambda: nl.Recommender(store), Limits())) as client:
        wait_until_ready(client.get)
        url = "/v1/users/new/recommendations"
        for answer in (
            client.get(url, params={"preferences": ASKED}).json(),
            client.post("/v1/recommendations", json=body).json(),
        ):
            assert [(i, t) for i, _, t in told(answer)] == [(i, t) for i, _, t in python]
        long = client.get(url, params={"preferences": "x" * 1001})
        assert (long.status_code, long.json()["field"]) == (400, "preferences")


def test_what_is_personal_stands_first_and_rules_hold(store: Path) -> None:
    with nl.Recommender(store) as rec:
        rec.observe("new", "wok")
        lines = rec.recommend("new", preferences=ASKED)
        assert [(line.item_id, line.tier) for line in lines] == [
            ("teapot", "personal"),
            ("sencha", "stated"),
            ("assam", "stated"),
            ("sock", "trending"),
        ]
        assert lines[0] == rec.recommend("new")[0]
        # What was seen, turned down, left out, hidden, or has another label stays out.
        rec.observe("new", "sencha")
        assert tiers(rec, "new")["assam"] == "personal"
        rec.observe("other", "assam", event="dislike")
        assert tiers(rec, "other") == {"sencha": "stated"}
        assert tiers(rec, "third", exclude=["sencha"]) == {"assam": "stated"}
        assert tiers(rec, "third", category="drink") == {"sencha": "stated", "assam": "stated"}
        assert tiers(rec, "third", category="garden") == {}
        rec.put_item("assam", text=WORDS["assam"], categories=["drink"], available=False)
        assert tiers(rec, "third") == {"sencha": "stated"}
        (line,) = rec.recommend("third", k=1, preferences=ASKED, explain=True)
        assert (line.reasons[0].relation, line.reasons[0].amount) == ("stated", line.score)


def tiers(rec: nl.Recommender, user: str, **how: Any) -> dict[str, str]:
    found = rec.recommend(user, preferences=ASKED, **how)
    return {
        line.item_id: line.tier for line in found if line.tier in ("personal", "stated", "session")
    }


def test_words_of_new_items_count_at_once(store: Path) -> None:
    with nl.Recommender(store) as rec:
        rec.put_item("kyusu", text="side-handled pot for gyokuro")
        assert [line.item_id for line in rec.recommend("new", k=1, preferences="gyokuro")] == [
            "kyusu"
        ]
        rec.put_item("kyusu", text="a vase")
        assert rec.recommend("new", k=1, preferences="gyokuro")[0].tier == "trending"


@pytest.mark.parametrize("nothing", ["", "  ", "!", "qwertz"])
def test_words_that_nothing_has_change_nothing(store: Path, nothing: str) -> None:
    with nl.Recommender(store) as rec:
        plain = rec.recommend("new")
        asked = rec.recommend("new", preferences=nothing)
        assert [(line.item_id, line.tier) for line in asked] == [
            (line.item_id, line.tier) for line in plain
        ]


@pytest.mark.parametrize("given", [3, ["tea"], "\ud800", "x" * 1001])
def test_bad_preferences_are_refused(given: Any) -> None:
    with nl.Recommender() as rec, pytest.raises(InvalidInput, match="preferences"):
        rec.recommend("new", preferences=given)
