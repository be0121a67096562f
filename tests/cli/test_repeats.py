"""Users with repeated interactions: notes in the output, and lists with seen items."""

from pathlib import Path

import pyarrow.parquet as pq
import pytest
from tests.cli.running import run, run_json


@pytest.fixture
def plays(tmp_path: Path) -> Path:
    """Write events of 40 users, each of whom repeatedly plays three songs."""
    lines = ["user_id,item_id,timestamp"]
    lines += [
        f"u{user},s{3 * (user % 5) + turn % 3},{1_600_000_000 + 60 * turn}"
        for user in range(40)
        for turn in range(9)
    ]
    path = tmp_path / "plays.csv"
    path.write_text("\n".join(lines) + "\n")
    return path


def test_evaluate_counts_held_out_items_of_the_history(plays: Path) -> None:
    output = run("evaluate", plays, "-k", "3").stdout
    assert "40 of 40 held-out items were already in the user's history" in output
    assert "--include-seen" in output
    model = run_json("evaluate", plays, "-k", "3")["models"]["item graph"]
    assert (model["n_relevant"], model["n_unreachable"]) == (40, 40)
    assert model["means"]["hit_rate@3"] == 0.0


def test_with_seen_items_they_are_found(plays: Path) -> None:
    output = run("evaluate", plays, "-k", "3", "--include-seen").stdout
    assert "in the user's history" not in output
    model = run_json("evaluate", plays, "-k", "3", "--include-seen")["models"]["item graph"]
    # The other two songs of the user are first, and the held-out one is among the first three.
    assert model["means"]["hit_rate@3"] == 1.0
    assert (model["exclude_seen"], model["n_unreachable"]) == (False, 0)


def test_compare_masks_or_lists_them(plays: Path) -> None:
    output = run("compare", plays, "--models", "item_knn", "-k", "3").stdout
    assert "40 of 40 held-out items were already in the user's history" in output
    found = run_json("compare", plays, "--models", "item_knn", "-k", "3", "--include-seen")
    assert found["models"][0]["means"]["hit_rate@3"] == 1.0


def test_train_reports_them_and_lists_contain_them_on_request(tmp_path: Path, plays: Path) -> None:
    store = tmp_path / "store"
    run("import", "--store", store, plays)
    assert "100% of the held-out items were already" in run("train", "--store", store).stdout
    mine = {"s0", "s1", "s2"}
    new = run_json("recommend", "--store", store, "u0", "-k", "3")
    again = run_json("recommend", "--store", store, "u0", "-k", "3", "--include-seen")
    assert not mine & {line["item_id"] for line in new["items"]}
    assert {line["item_id"] for line in again["items"]} == mine
    run("export", "--store", store, tmp_path / "lists", "-k", "3", "--include-seen")
    lists = pq.read_table(tmp_path / "lists").to_pylist()
    assert {line["item_id"] for line in lists if line["user_id"] == "u0"} == mine
