from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from tests.cli.running import run, run_json

from nearline.cli.study import (
    GRAPH,
    POPULARITY,
    Subject,
    SubjectTables,
    TrainingParts,
    divide,
    fit_engines,
    load_subject,
    metric_rows,
)
from nearline.common.progress import no_progress
from nearline.data import read_interactions
from nearline.evaluation import Interval, Report

NONE = np.empty(0)


def subject() -> Subject:
    """Two users with five events each, not sorted; `like` weighs 2, `dislike` -1."""
    rows = [
        ("u", "e", 5, "view"),
        ("u", "a", 1, "view"),
        ("v", "b", 1, "like"),
        ("u", "b", 2, "like"),
        ("u", "c", 3, "dislike"),
        ("u", "d", 4, "view"),
        ("v", "c", 2, "view"),
        ("v", "d", 3, "view"),
        ("v", "e", 4, "view"),
        ("v", "a", 5, "view"),
    ]
    users, items, times, kinds = zip(*rows, strict=True)
    table = pa.table({"user_id": users, "item_id": items, "timestamp": times, "event": kinds})
    return Subject("small", read_interactions(table), [])


def test_arrays_are_converted_back_to_the_original_table() -> None:
    tables = SubjectTables(subject())
    back = tables.interactions(tables.data.histories, tables.data.user_ids)
    assert back.column_names == ["user_id", "item_id", "timestamp", "event"]
    assert back["user_id"].to_pylist() == ["u"] * 5 + ["v"] * 5
    assert back["item_id"].to_pylist() == list("abcde") + list("bcdea")
    assert back["timestamp"].to_pylist() == [1, 2, 3, 4, 5] * 2
    kinds = ["view", "like", "dislike", "view", "view", "like", "view", "view", "view", "view"]
    assert back["event"].to_pylist() == kinds


def rows_of(tables: SubjectTables, histories: object) -> list[str]:
    """Return the item IDs of both users."""
    ids = tables.data.item_ids
    return ["".join(ids[item] for item in histories.row(user)) for user in range(2)]  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("strict", "fit", "validation"),
    [(True, ["abc", "bcd"], ["d", "e"]), (False, ["abcd", "bcde"], None)],
)
def test_protocols(strict: bool, fit: list[str], validation: list[str] | None) -> None:
    tables = SubjectTables(subject())
    parts, question = divide(tables.data, "leave-one-out", fraction=0.5, seed=0, strict=strict)
    assert rows_of(tables, parts.fit.histories) == fit
    if validation is None:
        assert parts.validation is None
    else:
        assert rows_of(tables, parts.validation) == validation
    assert rows_of(tables, question.known) == ["abcd", "bcde"]
    assert rows_of(tables, question.truth) == ["e", "a"]


def test_evaluations_get_the_same_lists_as_users(events: Path) -> None:
    found = load_subject(str(events), None, None, now=1.8e9, progress=no_progress)
    tables = SubjectTables(found)
    data = tables.data
    model = fit_engines([GRAPH], tables, TrainingParts(data, None), seed=0, progress=no_progress)[
        GRAPH
    ]
    ranking = model.recommend_from(data.histories, 3)
    for row, user in enumerate(data.user_ids):
        lines = model.engine.recommend(user, 3)
        assert [data.item_ids[item] for item in ranking.items[row]] == [x.item_id for x in lines]
        assert ranking.scores[row] == pytest.approx([line.score for line in lines])


def test_a_file_is_cleaned_before_the_evaluation(events: Path, items: Path) -> None:
    with events.open("a") as stream:
        stream.write(",r1,1700000000\n")
    found = load_subject(str(events), items, None, now=1.8e9, progress=no_progress)
    assert found.interactions.num_rows == 60
    assert found.has_text
    assert len(found.items) == 8


def report(means: dict[str, float], intervals: dict[str, Interval]) -> Report:
    return Report(10, 5, 0, True, means, intervals, NONE.astype(np.int64), {})


def test_metric_rows() -> None:
    first = report({"ndcg@10": 0.25, "gini@10": 0.5}, {"ndcg@10": Interval(0.125, 0.375)})
    second = report({"ndcg@10": 1.0}, {})
    assert metric_rows({"a": first, "b": second}, digits=2) == [
        ["", "a", "b"],
        ["ndcg@10", "0.25 [0.12, 0.38]", "1.00"],
        ["gini@10", "0.50", "-"],
    ]


def test_evaluate_files(events: Path, items: Path) -> None:
    found = run_json("evaluate", events, "--items", items, "-k", "2", "--seed", "3")
    assert found["split"] == "leave-one-out"
    assert found["fraction"] is None
    assert found["protocol"] == "strict"
    reports = found["models"]
    assert list(reports) == [POPULARITY, "trending", "item graph + text"]
    # The last item of each user is one of two unseen items of the user's colour.
    assert (
        reports["item graph + text"]["means"]["recall@2"] > reports[POPULARITY]["means"]["recall@2"]
    )
    assert reports[POPULARITY]["n_users"] == 20


def test_evaluate_as_text(events: Path) -> None:
    options = ["--split", "user-time", "--fraction", "0.4", "--protocol", "refit"]
    result = run("evaluate", events, *options)
    assert result.exit_code == 0
    assert "60 interactions, 20 users, 8 items" in result.stdout
    assert "Split user-time, protocol refit, 20 users" in result.stdout
    assert "item graph + text" not in result.stdout
