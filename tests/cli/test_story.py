"""One store from its first import to recommendations."""

from pathlib import Path

import pytest
from pyarrow.dataset import dataset
from tests.cli.conftest import BLUE, RED
from tests.cli.running import run, run_json


def test_import_train_ask(tmp_path: Path, events: Path, items: Path) -> None:
    store = tmp_path / "store"
    with events.open("a") as stream:
        stream.write("u1,r1,yesterday\n,r1,1700000000\n")

    imported = run_json("import", "--store", store, events, "--items", items)
    assert imported["report"]["rows_in"] == 62
    assert imported["report"]["rows_kept"] == 60
    assert [drop["rows"] for drop in imported["report"]["dropped"]] == [1, 1]
    assert imported["records_stored"] == imported["offset"] == 60 + 8
    assert (imported["users"], imported["items"]) == (20, 8)

    trained = run_json("train", "--store", store, "--seed", "1")
    assert trained["offset"] == 68
    assert "validation_ndcg@10" in trained["metrics"]

    answer = run_json("recommend", "--store", store, "u1", "-k", "8", "--explain")
    assert answer["model"] == trained["model"]
    # u1 bought three of the four red items, so the fourth is first.
    first = answer["items"][0]
    assert first["item_id"] == (set(RED) - {"r1", "r2", "r3"}).pop()
    assert first["tier"] == "personal"
    assert first["reasons"][0]["source"] in {"r1", "r2", "r3"}
    assert len(answer["items"]) == 5

    why = run_json("explain", "--store", store, "u1", first["item_id"])
    assert why["score"] == pytest.approx(first["score"])
    assert sum(part["amount"] for part in why["parts"]) == pytest.approx(why["score"], abs=1e-6)

    near = run_json("similar", "--store", store, "b1", "-k", "3")
    assert near["item_id"] == "b1"
    assert {line["item_id"] for line in near["items"]} == set(BLUE) - {"b1"}


def test_importing_again_stores_nothing_twice(tmp_path: Path, events: Path) -> None:
    store = tmp_path / "store"
    assert run_json("import", "--store", store, events)["records_stored"] == 60
    assert run_json("import", "--store", store, events)["records_stored"] == 0


def test_columns_of_other_names(tmp_path: Path, events: Path) -> None:
    events.write_text(events.read_text().replace("user_id,item_id,timestamp", "who,what,when"))
    mapping = ["user_id=who", "item_id=what", "timestamp=when"]
    options = [part for pair in mapping for part in ("--column", pair)]
    imported = run_json("import", "--store", tmp_path / "store", events, *options)
    assert imported["report"]["rows_kept"] == 60


def test_a_catalogue_alone_can_be_imported_and_recommended_from(
    tmp_path: Path, items: Path
) -> None:
    imported = run_json("import", "--store", tmp_path / "store", "--items", items)
    assert imported["report"] is None
    assert imported["records_stored"] == 8
    answer = run_json("recommend", "--store", tmp_path / "store", "new", "-k", "3")
    assert len(answer["items"]) == 3
    assert answer["model"] == "untrained"


def test_output_as_text(tmp_path: Path, events: Path, items: Path) -> None:
    with events.open("a") as stream:
        stream.write(",r1,1700000000\n")
    store = tmp_path / "store"
    imported = run("import", "--store", store, events, "--items", items).stdout
    assert "61 rows read, 60 kept, 1 dropped." in imported
    assert "user_id is empty" in imported
    assert f"nearline train --store {store}" in imported
    trained = run("train", "--store", store).stdout
    assert "20 users, 8 items, 68 records" in trained
    assert "ndcg@10" in trained


def test_lists_as_text(shop: Path) -> None:
    listed = run("recommend", "--store", shop, "u1", "-k", "2", "--explain").stdout
    assert "red thing r4" in listed
    assert "because of" in listed
    assert "with red thing r" in listed
    near = run("similar", "--store", shop, "b1", "-k", "1").stdout
    assert "blue thing" in near
    why = run("explain", "--store", shop, "u1", "r4").stdout
    assert "tier: personal" in why
    assert "red thing" in why


def test_an_unknown_user_gets_popular_items(shop: Path) -> None:
    answer = run_json("recommend", "--store", shop, "stranger")
    assert answer["tier"] in {"trending", "popular"}
    assert len(answer["items"]) == 8


def test_category(shop: Path) -> None:
    answer = run_json("recommend", "--store", shop, "u1", "--category", "blue")
    assert {line["item_id"] for line in answer["items"]} == set(BLUE)


def test_the_environment_can_name_the_store(shop: Path) -> None:
    result = run("recommend", "u1", env={"NEARLINE_STORE": str(shop)})
    assert result.exit_code == 0
    assert "red thing r4" in result.stdout


def test_options_of_a_request(shop: Path) -> None:
    def listed(*options: str) -> set[str]:
        answer = run_json("recommend", "--store", shop, "u1", *options)
        return {line["item_id"] for line in answer["items"]}

    assert listed() == {*RED, *BLUE} - {"r1", "r2", "r3"}
    assert listed("--exclude-seen") == listed()
    assert listed("--include-seen") == {*RED, *BLUE}
    assert listed("--exclude", "r4", "--exclude", "b1") == set(BLUE) - {"b1"}
    answer = run_json("recommend", "--store", shop, "u1", "--history", "b1", "--history", "b2")
    assert answer["items"][0]["tier"] == "session"
    assert answer["items"][0]["item_id"] in BLUE
    assert {"r1", "r2", "r3"} <= {line["item_id"] for line in answer["items"]}


def test_exported_lists_follow_the_same_options(shop: Path, tmp_path: Path) -> None:
    options = ["--category", "blue", "--exclude", "b1", "--include-seen", "-k", "3"]
    run_json("export", "--store", shop, tmp_path / "lists", *options)
    rows = dataset(tmp_path / "lists").to_table().to_pylist()
    alone = run_json("recommend", "--store", shop, "u1", *options)
    assert [row["item_id"] for row in rows if row["user_id"] == "u1"] == [
        line["item_id"] for line in alone["items"]
    ]
    assert {row["item_id"] for row in rows} == set(BLUE) - {"b1"}
