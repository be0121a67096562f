"""Options of the command line that shape a list."""

from pathlib import Path
from typing import Any

import pytest
from tests.cli.running import run, run_json
from tests.engine.shop import catalogue, shop

import nearline as nl


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("shaped") / "shop"
    with nl.Recommender(path) as rec:
        rec.fit(shop(), items=catalogue())
    return path


def ids(found: Any) -> list[str]:
    return [line["item_id"] for line in found["items"]]


def test_the_same_lists_as_in_python(store: Path) -> None:
    asked = {
        ("--max-per", "categories=2"): {"max_per": {"categories": 2}},
        ("--max-per", '{"categories": 1}'): {"max_per": {"categories": 1}},
        ("--diversity", "0.5", "--diversity-method", "dpp"): {
            "diversity": 0.5,
            "diversity_method": "dpp",
        },
        ("--calibration", "0.5", "--rotation", "0.2"): {"calibration": 0.5, "rotation": 0.2},
        ("--max-shown", "times=1", "--max-shown", "days=2.5"): {
            "max_shown": {"times": 1, "days": 2.5}
        },
    }
    found = [ids(run_json("recommend", "--store", store, "shoe1", *given)) for given in asked]
    with nl.Recommender(store) as rec:
        expected = [
            [line.item_id for line in rec.recommend("shoe1", **options)]  # type: ignore[arg-type]
            for options in asked.values()
        ]
    assert found == expected


def test_pages(store: Path) -> None:
    first = run_json("recommend", "--store", store, "ann", "-k", "4")
    second = run_json("recommend", "--store", store, "ann", "-k", "4", "--cursor", first["next"])
    assert len({*ids(first), *ids(second)}) == 8


@pytest.mark.parametrize(
    ("given", "word"),
    [
        (("--max-per", "brand=x"), "whole number"),
        (("--max-per", "brand"), "NAME=VALUE"),
        (("--max-per", "{"), "JSON"),
        (("--diversity", "3"), "diversity"),
        (("--cursor", "abc"), "cursor"),
    ],
)
def test_wrong_use(store: Path, given: tuple[str, str], word: str) -> None:
    result = run("recommend", "--store", store, "ann", *given)
    assert result.exit_code in (1, 2)
    assert word in result.output
    assert "Traceback" not in result.output
