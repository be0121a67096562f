"""The option `repeats` of requests, in all interfaces, and of commands that measure."""

from pathlib import Path

import numpy as np
import pytest
from tests.cli.running import run, run_json

import nearline as nl
from nearline.errors import InvalidInput
from nearline.recommend.lists import View
from nearline.schema import ListOptions
from nearline.state import State

EVENTS = [("ann", "a"), ("ann", "b"), ("ben", "a"), ("ben", "c"), ("cleo", "b"), ("cleo", "a")]


@pytest.fixture
def store(tmp_path: Path) -> Path:
    lines = [f"{user},{item},{at}" for at, (user, item) in enumerate(EVENTS)]
    table = tmp_path / "events.csv"
    table.write_text("\n".join(["user_id,item_id,timestamp", *lines]) + "\n")
    run("import", "--store", tmp_path / "store", table)
    return tmp_path / "store"


def view(repeats: str, found: bool) -> View:
    return View(State(), None, "m", 0.0, repeats, found)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("options", "default", "found", "excludes"),
    [
        ({}, "exclude", True, True),
        ({"exclude_seen": False}, "exclude", False, False),
        ({"repeats": "include"}, "exclude", False, False),
        ({"repeats": "include", "exclude_seen": True}, "exclude", False, False),
        ({"repeats": "exclude", "exclude_seen": False}, "include", True, True),
        ({"repeats": "auto"}, "exclude", True, False),
        ({"repeats": "auto", "exclude_seen": False}, "exclude", False, True),
        ({}, "include", False, False),
        ({}, "auto", True, False),
        ({}, "auto", False, True),
    ],
)
def test_the_request_then_exclude_seen_then_the_configuration_decide(
    options: dict[str, object], default: str, found: bool, excludes: bool
) -> None:
    assert view(default, found).excludes_seen(ListOptions(**options)) is excludes  # type: ignore[arg-type]


def test_lists_contain_seen_items_if_repeats_are_included(store: Path) -> None:
    with nl.Recommender(store) as rec:
        assert {line.item_id for line in rec.recommend("ann")} == {"c"}
        assert {line.item_id for line in rec.recommend("ann", repeats="include")} == set("abc")
        assert {line.item_id for line in rec.recommend("ann", repeats="auto")} == {"c"}
        many = rec.recommend_many(["ann"], repeats="include")
        assert set(many["item_id"].to_pylist()) == set("abc")
        one = rec.recommend("ann", repeats="include")
        assert many["item_id"].to_pylist() == [line.item_id for line in one]
        with pytest.raises(InvalidInput, match="repeats is 'often'"):
            rec.recommend("ann", repeats="often")
    with nl.Recommender(store, config=nl.Config(repeats="include")) as rec:
        assert {line.item_id for line in rec.recommend("ann")} == set("abc")
        assert {line.item_id for line in rec.recommend("ann", repeats="exclude")} == {"c"}
    with pytest.raises(InvalidInput, match="repeats"):
        nl.Config(repeats="sometimes")


def test_the_command_line_has_the_option(store: Path) -> None:
    found = run_json("recommend", "--store", store, "ann", "--repeats", "include")
    assert {line["item_id"] for line in found["items"]} == set("abc")
    wrong = run("recommend", "--store", store, "ann", "--repeats", "often")
    assert wrong.exit_code == 1
    assert "repeats" in wrong.stderr


def weekly_shop(repeat: bool) -> dict[str, list[object]]:
    """Users who come every week, and either buy their own three items or always new ones."""
    rng = np.random.default_rng(0)
    rows = []
    for user in range(120):
        own = rng.permutation(200)
        for week in range(20):
            for turn in range(3):
                item = own[turn] if repeat else own[3 * week + turn]
                rows.append((1.6e9 + week * 604_800 + user * 3_600 + turn, f"u{user}", f"i{item}"))
    rows.sort()
    times, users, items = (list(column) for column in zip(*rows, strict=True))
    return {"user_id": users, "item_id": items, "timestamp": times}


@pytest.mark.parametrize("repeat", [True, False])
def test_training_finds_whether_users_repeat_items(repeat: bool) -> None:
    import pyarrow as pa

    config = nl.Config(settings={"search": {"evaluations": 2}})
    with nl.Recommender(config=config).fit(pa.table(weekly_shop(repeat))) as rec:
        assert rec.repeats_found is repeat
        if repeat:
            assert rec.metrics["repeat_share"] == pytest.approx(1.0)
            own = {line.item_id for line in rec.recommend("u7", 3, repeats="auto")}
            rows = weekly_shop(True)
            bought = zip(rows["user_id"], rows["item_id"], strict=True)
            assert own == {item for user, item in bought if user == "u7"}


def test_flags_that_contradict_each_other_are_refused(store: Path) -> None:
    found = run("train", "--store", store, "--include-seen", "--repeats", "exclude")
    assert found.exit_code == 2
    assert "--include-seen means --repeats include" in found.stderr
    found = run("replay", "synthetic", "--repeats", "auto")
    assert found.exit_code == 2
    assert "--repeats auto is not possible here" in found.stderr


def test_evaluate_shows_baselines_and_warns(tmp_path: Path) -> None:
    lines = ["user_id,item_id,timestamp"]
    lines += [f"u{u},i{(u + turn) % 9},{turn}" for u in range(30) for turn in range(4)]
    table = tmp_path / "events.csv"
    table.write_text("\n".join(lines) + "\n")
    found = run_json("evaluate", table, "-k", "3")
    assert list(found["models"])[:2] == ["popularity", "trending"]
    lines = ["user_id,item_id,timestamp"]
    lines += [f"u{u},i{turn},{turn}" for u in range(30) for turn in range(4)]
    table.write_text("\n".join(lines) + "\n")
    # Everybody does the same, so what is popular is as good as anything.
    output = run("evaluate", table, "-k", "3").stdout
    assert "is not significantly better than popularity and trending" in output
