"""The command `compare`: tables, JSON, settings that are searched, and wrong use."""

import sys
from pathlib import Path

import pytest
from tests.cli.running import run, run_json

from nearline.evaluation import lineup
from nearline.evaluation.lineup import SAMPLED_VALIDATION
from nearline.models.registry import discover

FAST = ["--models", "trending, popularity,rp3beta"]


@pytest.fixture
def rated(tmp_path: Path) -> Path:
    """30 people rate 8 films from 1 to 5: by taste, odd or even."""
    lines = ["user_id,item_id,timestamp,value"]
    for user in range(30):
        for film in range(8):
            if (user + 3 * film) % 5:
                value = (5 if (user + film) % 2 else 2) - (film == 3)
                lines.append(f"u{user},f{film},{1_700_000_000 + 60 * film},{value}")
    path = tmp_path / "films.csv"
    path.write_text("\n".join(lines) + "\n")
    return path


def test_models_are_listed_best_first(events: Path, items: Path) -> None:
    text = run("compare", events, "--items", items, *FAST).stdout
    assert "60 interactions, 20 users, 8 items. Split leave-one-out; default settings" in text
    assert "20 users with held-out items" in text
    accuracy = text.split("behind the best")[1]
    # Red and blue customers: random walks find similar customers, which counts do not.
    assert accuracy.index("rp3beta") < accuracy.index("popularity")
    assert "answer ms" in text


def test_the_same_as_json(events: Path) -> None:
    options = ["--split", "stratified", "--fraction", "0.3", "-k", "3", "--seed", "4"]
    found = run_json("compare", events, *FAST, *options)
    assert found.keys() == {
        *("data", "large", "users", "ratings", "split", "fraction", "search", "k", "seed"),
        "include_seen",
        *("metric", "models", "left_out"),
    }
    assert (found["metric"], found["split"], found["k"]) == ("ndcg@3", "stratified", 3)
    assert {entry["model"] for entry in found["models"]} == {"trending", "popularity", "rp3beta"}
    assert run_json("compare", events, *FAST)["split"] == "leave-one-out"
    again = run_json("compare", events, *FAST, *options)
    for one, two in zip(found["models"], again["models"], strict=True):
        assert (one["means"], one["intervals"]) == (two["means"], two["intervals"])


def test_by_default_every_model_is_compared_or_skipped_with_a_reason(
    events: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kinds = discover()
    few = {name: kinds[name] for name in ("content", "ease", "item_graph", "popularity", "svd")}
    # All models would take minutes, and each has its own tests.
    monkeypatch.setattr("nearline.models.registry.discover", lambda: few)
    found = run_json("compare", events)
    assert {entry["model"] for entry in found["models"]} == {"item_graph", "ease", "popularity"}
    assert found["left_out"].keys() == {"svd", "content"}
    assert "needs ratings" in found["left_out"]["svd"]
    assert "no item has text" in found["left_out"]["content"]
    assert "left out" in run("compare", events).stdout
    named = run("compare", events, "--models", "popularity,svd")
    assert named.exit_code == 1
    assert "svd needs ratings" in named.stderr


def test_settings_are_searched(events: Path) -> None:
    found = run_json("compare", events, "--models", "popularity,rp3beta", "--search", "3")
    entries = {entry["model"]: entry for entry in found["models"]}
    assert entries["rp3beta"]["tuning_s"] > 0
    assert found["search"] == 3
    assert "3 settings tried" in run("compare", events, *FAST, "--search", "3").stdout


def test_ratings_in_folds_and_on_a_split(rated: Path) -> None:
    models = ["--models", "svdpp,als", "--ratings"]
    text = run("compare", rated, *models).stdout
    assert "5 random folds; default settings" in text
    assert "192 ratings predicted" in text
    folded = run_json("compare", rated, *models, "--search", "2")
    assert folded["metric"] == "rmse"
    assert [len(entry["settings"]) for entry in folded["models"]] == [5, 5]
    one = run_json("compare", rated, *models, "--split", "leave-one-out")
    assert [entry["n_ratings"] for entry in one["models"]] == [30, 30]


def test_a_picture(events: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    picture = tmp_path / "all.svg"
    assert run("compare", events, *FAST, "--picture", picture).exit_code == 0
    assert "rp3beta" in picture.read_text()
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    refused = run("compare", events, *FAST, "--picture", picture)
    assert refused.exit_code == 1
    assert "nearline[plot]" in refused.stderr


@pytest.mark.parametrize(
    ("options", "code", "words"),
    [
        (["--models", "popularity,,ease"], 2, "empty name"),
        (["--models", "oracle"], 1, "no model 'oracle'"),
        (["--picture", "all.jpg"], 1, ".png or .svg"),
        (["--ratings", "--models", "svd"], 1, "column value=NAME"),
    ],
)
def test_wrong_use(events: Path, options: list[str], code: int, words: str) -> None:
    result = run("compare", events, *options)
    assert result.exit_code == code
    assert words in result.stderr


def test_large_compares_models_of_all_families(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The blend contains a transformer; the neural models have their own tests.
    left_out = {"NCF", "two towers", "GRU", "CNN", "transformer"}
    few = tuple(entry for entry in lineup.LINEUP if entry[0] not in left_out)
    monkeypatch.setattr(lineup, "LINEUP", few)
    # One epoch is enough to test that every model is fitted and evaluated.
    monkeypatch.setitem(SAMPLED_VALIDATION["training"], "epochs", 1)
    settings = {**SAMPLED_VALIDATION, "width": 8, "blocks": 1}
    transformer = {"model": "sasrec", "settings": settings}
    parts = [{"model": "item_graph"}, transformer, {"model": "popularity"}]
    monkeypatch.setattr("nearline.config.BEST", {"parts": parts})
    events, items = tmp_path / "events.csv", tmp_path / "items.csv"
    lines = [
        f"u{user},i{(3 * user + 2 * n + n * n) % 12},{1_700_000_000 + n}"
        for user in range(24)
        for n in range(5)
    ]
    events.write_text("user_id,item_id,timestamp\n" + "\n".join(lines) + "\n")
    items.write_text("item_id,text\n" + "".join(f"i{n},tea of kind {n % 4}\n" for n in range(12)))
    options: list[str | Path] = ["--items", items, "--large", "--users", "9"]
    found = run_json("compare", events, *options)
    entries = {entry["model"]: entry for entry in found["models"]}
    assert entries.keys() == {name for name, *_ in few} | {lineup.BLEND}
    assert found["left_out"] == {}
    assert {entry["n_users"] for entry in entries.values()} == {9}
    assert entries["item graph"]["settings"] != entries["full blend"]["settings"]
    assert entries["popularity"]["also"]["cold users"]["n_users"] == 9
    for wrong in (["--models", "popularity"], ["--ratings"], ["--split", "random"]):
        assert run("compare", events, "--large", *wrong).exit_code == 2
