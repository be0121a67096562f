"""Listing of models, and training of a model by name."""

from pathlib import Path

import pytest
from tests.cli.running import run, run_json

from nearline.models.registry import discover


def test_all_models_are_listed_with_a_summary() -> None:
    text = run("models").stdout
    for name in discover():
        assert f" {name} " in text
    listed = {entry["name"]: entry for entry in run_json("models")}
    assert list(listed) == list(discover())
    assert listed["ease"]["searched"] == ["l2"]
    assert listed["svd"]["needs_ratings"] is True


def test_settings_of_one() -> None:
    text = run("models", "item_graph").stdout
    assert "transitions.half_life" in text
    assert "searched" in text
    (entry,) = run_json("models", "trending")
    assert entry["settings"] == {"half_life": 604800.0}
    assert run("models", "oracle").exit_code == 1


def test_a_model_trains_with_settings_and_a_search(tmp_path: Path, events: Path) -> None:
    store = tmp_path / "store"
    run_json("import", "--store", store, events)
    options = ["--model", "ease", "--set", "l2=3", "--search", "2"]
    first = run_json("train", "--store", store, *options)
    assert "validation_ndcg@10" in first["metrics"]
    assert (store / "search.journal").exists()
    again = run_json("train", "--store", store, *options)
    assert again["metrics"] == first["metrics"]
    # The model remains active, whichever configuration opens the store.
    assert run_json("recommend", "--store", store, "u1", "-k", "1")["model"] == again["model"]


def test_nested_settings_reach_the_model(tmp_path: Path, events: Path) -> None:
    store = tmp_path / "store"
    run_json("import", "--store", store, events)
    nested = ["--set", "transitions.reach=3", "--set", "search.evaluations=0"]
    run_json("train", "--store", store, *nested)
    (manifest,) = store.glob("snapshots/*/manifest.json")
    text = manifest.read_text().replace(" ", "")
    assert '"reach":3' in text
    assert '"evaluations":0' in text


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--model", "oracle"], ["no model 'oracle'", "item_graph"]),
        (["--model", "ease", "--set", "l1=3"], ["`l1`", "l2=200.0"]),
        (["--set", "transitions.colour=red"], ["`colour`", "transitions.half_life=1.1"]),
        (["--model", "ease", "--set", "l2=much"], ["Expected `float`, got `str`", "l2=200.0"]),
        (["--model", "popularity", "--set", "x=1"], ["`x`", "defaults are: none"]),
        (["--model", "popularity", "--search", "1"], ["has no search space"]),
        (["--model", "svd"], ["learns ratings"]),
    ],
)
def test_errors_name_the_invalid_and_the_allowed_values(
    shop: Path, options: list[str], words: list[str]
) -> None:
    result = run("train", "--store", shop, *options)
    assert result.exit_code == 1
    assert all(word in result.stderr for word in words), result.stderr


@pytest.mark.parametrize("pairs", [["l2"], ["=3"], ["a..b=3"], ["a=1", "a.b=2"]])
def test_malformed_pairs_are_wrong_use(pairs: list[str]) -> None:
    options = [part for pair in pairs for part in ("--set", pair)]
    result = run("train", "--store", "shop", *options)
    assert result.exit_code == 2
    assert repr(pairs[-1]) in result.stderr
