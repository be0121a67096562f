"""Users with repeated interactions: notes in the output, and lists with seen items."""

from pathlib import Path

import pyarrow.parquet as pq
import pytest
from tests.cli.running import run, run_json

import nearline as nl


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


def test_train_measures_lists_with_seen_items(tmp_path: Path, plays: Path) -> None:
    store = tmp_path / "store"
    run("import", "--store", store, plays)
    masked = run_json("train", "--store", store)["metrics"]
    assert (masked["validation_hit_rate@10"], masked["validation_unreachable"]) == (0.0, 1.0)
    listed = run_json("train", "--store", store, "--include-seen")["metrics"]
    # Each user knows three songs, and one of them is held out.
    assert listed["validation_hit_rate@10"] == 1.0
    assert "validation_unreachable" not in listed
    assert "in the user's history" not in run("train", "--store", store, "--include-seen").stdout


def test_a_search_of_settings_reads_lists_with_seen_items(tmp_path: Path, plays: Path) -> None:
    """The metric of all trials is 0 if lists cannot contain the held-out items."""
    found = {}
    for option in ([], ["--include-seen"]):
        store = tmp_path / f"store{len(option)}"
        run("import", "--store", store, plays)
        searched = ["--model", "item_knn", "--search", "2", *option]
        found[len(option)] = run_json("train", "--store", store, *searched)["metrics"]
    assert found[0]["validation_ndcg@10"] == 0.0 < found[1]["validation_ndcg@10"]


def test_a_trained_model_is_compared_by_lists_with_seen_items(plays: Path) -> None:
    for exclude_seen, expected in ((True, 0.0), (False, 1.0)):
        config = nl.Config(exclude_seen=exclude_seen)
        with nl.Recommender(config=config).fit(str(plays)) as rec:
            job = rec.jobs.wait(rec.train().id, 120)
            assert (job.result or {})["held_out_hit_rate@10"] == expected


def test_replay_evaluates_repeats_on_lists_with_seen_items(plays: Path) -> None:
    masked = run("replay", plays, "--day", "60", "-k", "3")
    # After the warm-up, no event has an item that is new to its user.
    assert masked.exit_code == 1
    assert "new to its user" in masked.stderr
    found = run_json("replay", plays, "--day", "60", "-k", "3", "--include-seen")
    assert found["exclude_seen"] is False
    assert found["n_evaluated"] == 180  # half of 40 users with 9 events
    assert found["means"]["hit_rate"]["online"] == 1.0
    output = run("replay", plays, "--day", "60", "-k", "3", "--include-seen").stdout
    assert "180 of 180 events evaluated" in output


def test_demo_lists_seen_items(plays: Path) -> None:
    masked = run("demo", "--exit", "--dataset", plays).stdout
    assert "already in the user's history" in masked
    listed = run("demo", "--exit", "--dataset", plays, "--include-seen").stdout
    assert "already in the user's history" not in listed
    shown = run_json("demo", "--exit", "--dataset", plays, "--include-seen")
    songs = {line["item_id"] for line in shown["items"]}
    group = int(shown["user_id"][1:]) % 5
    assert {f"s{3 * group + turn}" for turn in range(3)} <= songs


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
