"""A store whose model is a blend, through Python, HTTP and the command line."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import httpx
import pytest
from tests.server.serving import start_server, stop_server
from tests.test_three_interfaces import USER, interactions, items, lines

import nearline as nl
from nearline.errors import MissingExtra

SETTINGS = {
    "parts": [
        {"model": "item_graph", "settings": {"search": {"evaluations": 5}}},
        {"model": "popularity", "weight": 0.1},
    ]
}


def test_a_blend_serves_and_learns_through_every_interface(tmp_path: Path) -> None:
    config = nl.Config(model="blend", settings=SETTINGS)
    with nl.Recommender(tmp_path / "store", config=config) as rec:
        rec.fit(interactions(), items=items(), seed=3)
    shutil.copytree(tmp_path / "store", tmp_path / "served" / "store")

    def told(rec: nl.Recommender) -> list[tuple[str, float]]:
        return [(line.item_id, line.score) for line in rec.recommend(USER, k=8)]

    server = start_server(tmp_path / "served")
    try:
        with (
            nl.Recommender(tmp_path / "store") as rec,
            httpx.Client(base_url=server.url, timeout=120.0) as http,
        ):
            path = "/v1/users/new%2F%C3%BC"

            def same() -> list[tuple[str, float]]:
                found = http.get(f"{path}/recommendations", params={"k": 8}).json()
                assert lines(found["items"]) == told(rec)
                return told(rec)

            stranger = same()
            assert rec.recommend(USER)[0].tier in ("popular", "trending")
            assert rec.rank(USER, [stranger[0][0]])[0].score == stranger[0][1]
            for at, item in enumerate(("tea-2", "shoe-5")):
                event = {"user_id": USER, "item_id": item, "timestamp": 1.6e9 + at}
                http.post("/v1/events", json=event).raise_for_status()
                rec.observe(USER, item, timestamp=1.6e9 + at)
            known = same()
            assert rec.recommend(USER)[0].tier == "personal"
            assert known[0][0] == "shoe-6"
            why = http.get(f"{path}/explanations/shoe-6").json()
            assert sum(part["amount"] for part in why["parts"]) == pytest.approx(known[0][1])
            assert {part["relation"] for part in why["parts"]} > {"popularity"}
            http.put("/v1/items/shoe-new", json={"text": "pink shoe shop"}).raise_for_status()
            rec.put_item("shoe-new", text="pink shoe shop")
            assert "shoe-new" in [item for item, _ in same()]
            # The count of a pair changes at once, without a training.
            for user in range(30):
                rec.observe(f"fan{user}", "shoe-5", timestamp=1.6e9 + 1000)
                rec.observe(f"fan{user}", "tea-9", timestamp=1.6e9 + 1001)
            assert dict(told(rec))["tea-9"] > dict(known).get("tea-9", 0.0)
    finally:
        assert stop_server(server) == 0
    command = [
        "recommend",
        USER,
        "-k",
        "8",
        "--store",
        str(tmp_path / "served" / "store"),
        "--json",
    ]
    done = subprocess.run(
        [sys.executable, "-m", "nearline.cli", *command], capture_output=True, check=True
    )
    found = lines(json.loads(done.stdout)["items"])
    assert found[0][0] == "shoe-6"
    assert "shoe-new" in dict(found)


def test_the_preset_best_orders_a_blend_with_a_transformer(monkeypatch: pytest.MonkeyPatch) -> None:
    rec = nl.Recommender(preset="best")
    assert rec.config.model == "learned_ranking"
    made = rec.config.new_model()
    assert [part.name for part in made.parts] == ["item_graph", "sasrec", "popularity"]  # type: ignore[attr-defined]
    monkeypatch.setattr("nearline.config.find_spec", lambda _: None)
    with pytest.raises(MissingExtra, match=r"pip install nearline\[neural\]"):
        nl.Recommender(preset="best")
