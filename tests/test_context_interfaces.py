"""One store asked with a context through Python, HTTP and the command line."""

from pathlib import Path
from typing import Any

import pytest
from litestar.testing import TestClient
from tests.cli.running import run, run_json
from tests.server.serving import wait_until_ready

import nearline as nl
from nearline.deployment.store import CHECKPOINT
from nearline.errors import InvalidInput
from nearline.schema import RecommendationRequest, Scalar
from nearline.server import Limits, create_app

# Everyone bought tea; at seven in France, mugs.
FRENCH: dict[str, Scalar] = {"land": "FR", "hour": 7, "app": True}


def events() -> list[nl.Event]:
    rows: list[tuple[str, dict[str, Scalar] | None]] = []
    rows += [("tea", None)] * 12
    rows += [("pot", None)] * 4
    rows += [("mug", FRENCH)] * 8
    rows += [("mug", {"land": "DE"})]
    return [
        nl.Event(user_id=f"u{n}", item_id=item, timestamp=1000.0, context=context)
        for n, (item, context) in enumerate(rows)
    ]


def told(answer: dict[str, Any]) -> list[tuple[str, float, str]]:
    return [(line["item_id"], line["score"], line["tier"]) for line in answer["items"]]


@pytest.fixture
def store(tmp_path: Path) -> Path:
    with nl.Recommender(tmp_path / "store") as rec:
        rec.append_events(events()).result()
    return tmp_path / "store"


def test_a_context_gives_the_same_list_through_every_interface(store: Path) -> None:
    with nl.Recommender(store) as rec:
        python = [
            (line.item_id, line.score, line.tier) for line in rec.recommend("new", context=FRENCH)
        ]
        session = RecommendationRequest(history=(), context=FRENCH)
        assert [line.item_id for line in rec.answer(session).items] == ["mug", "tea", "pot"]
    assert [(item, tier) for item, _, tier in python] == [
        ("mug", "context"),
        ("tea", "context"),
        ("pot", "context"),
    ]
    options = [part for pair in ("land=FR", "hour=7", "app=true") for part in ("--context", pair)]
    assert told(run_json("recommend", "--store", store, "new", *options)) == python

    (store / CHECKPOINT).unlink()  # replayed, not loaded
    query = "context=land:FR&context=hour:7&context=app:true"
    body = {"history": [], "context": FRENCH}
    with TestClient(create_app(lambda: nl.Recommender(store), Limits())) as client:
        wait_until_ready(client.get)
        assert told(client.get(f"/v1/users/new/recommendations?{query}").json()) == python
        assert told(client.post("/v1/recommendations", json=body).json()) == python


def test_personal_lines_stand_first_and_stay_as_they_are(store: Path) -> None:
    with nl.Recommender(store) as rec:
        for item in ("pot", "cup"):
            rec.put_item(item, text="a thing of clay")
        rec.observe("new", "cup")
        personal, *rest = rec.recommend("new", context=FRENCH)
        assert personal == rec.recommend("new")[0]
        assert (personal.item_id, personal.tier) == ("pot", "personal")
        assert [(line.item_id, line.tier) for line in rest] == [
            ("mug", "context"),
            ("tea", "context"),
        ]
        assert rec.recommend("new", context={"land": "IT"}) == rec.recommend("new")


def test_reasons_and_rules_hold_with_a_context(store: Path) -> None:
    with nl.Recommender(store) as rec:
        (line,) = rec.recommend("new", k=1, context=FRENCH, explain=True)
        assert (line.reasons[0].relation, line.reasons[0].amount) == ("context", line.score)
        assert [line.item_id for line in rec.recommend("u0", context=FRENCH)] == ["mug", "pot"]
        asked = rec.recommend("new", context=FRENCH, exclude=["mug"])
        assert [line.item_id for line in asked] == ["tea", "pot"]
        rec.put_item("tea", text="tea", available=False)
        assert [line.item_id for line in rec.recommend("u0", context=FRENCH)] == ["mug", "pot"]


def test_a_forgotten_user_is_in_no_context(store: Path) -> None:
    with nl.Recommender(store) as rec:
        plain = rec.recommend("new")
        assert rec.recommend("new", context={"land": "DE"})[0].tier == "context"
        assert rec.forget("u24").result() == 1
        assert rec.recommend("new", context={"land": "DE"}) == rec.recommend("new") != plain


@pytest.mark.parametrize("context", ["FR", {"land": None}, {"land": ["FR"]}, {1: "FR"}])
def test_a_bad_context_is_refused(context: Any) -> None:
    with nl.Recommender() as rec, pytest.raises(InvalidInput, match="context"):
        rec.recommend("new", context=context)


@pytest.mark.parametrize("given", [["FR"], ["=FR"], ["land=FR", "--context", "land=DE"]])
def test_a_bad_context_on_the_command_line(tmp_path: Path, given: list[str]) -> None:
    result = run("recommend", "--store", tmp_path, "new", "--context", *given)
    assert result.exit_code == 2
    assert "--context" in result.stderr
