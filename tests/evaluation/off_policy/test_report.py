"""Off-policy evaluation of whole logs: files, policies, positions, verdicts and refusals."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from pyarrow import csv
from tests.cli.running import run, run_json

from nearline.errors import InvalidInput
from nearline.evaluation.off_policy import (
    LoggedRows,
    cascade_weights,
    evaluate_log,
    read_log,
    read_policy,
)

RATE = np.array([0.05, 0.1, 0.2, 0.4])


def log_of(shares: list[float], n: int = 4_000, seed: int = 0, positions: int = 2) -> pa.Table:
    """Lists of `positions` lines, each drawn from `shares`; clicks halve at the second line."""
    rng = np.random.default_rng(seed)
    probability = np.array(shares) / sum(shares)
    item = rng.choice(4, n, p=probability)
    position = np.tile(np.arange(1, positions + 1), n // positions)
    reward = rng.random(n) < RATE[item] / position
    return pa.table(
        {
            "recommendation_id": [f"r{at // positions}" for at in range(n)],
            "item_id": [f"i{at}" for at in item],
            "position": position,
            "propensity": probability[item],
            "reward": reward.astype(float),
        }
    )


UNIFORM, GOOD = log_of([1, 1, 1, 1]), log_of([1, 1, 2, 6], seed=1)
PROBABILITIES = pa.table({"item_id": ["i0", "i1", "i2", "i3"], "probability": [0.1, 0.1, 0.2, 0.6]})
TRUTH = float(np.array([0.1, 0.1, 0.2, 0.6]) @ RATE) * 0.75


@pytest.mark.parametrize("policy", [PROBABILITIES, GOOD], ids=["table", "log"])
def test_a_better_policy_is_found_and_its_value_covered(policy: pa.Table) -> None:
    report = evaluate_log(UNIFORM, policy)
    assert (report.conclusion, report.warnings) == ("better", [])
    for one in report.total.estimates:
        if one.name != "dm":
            assert one.low < TRUTH < one.high
    assert evaluate_log(GOOD, "uniform").conclusion == "worse"
    assert evaluate_log(UNIFORM, "uniform").conclusion == "no significant difference"


def test_positions_are_estimated_by_themselves() -> None:
    first, second = evaluate_log(UNIFORM, PROBABILITIES).positions
    assert (first.position, second.position) == (1, 2)
    assert first.rows + second.rows == 4_000
    for part, factor in ((first, 1.0), (second, 0.5)):
        snips = part.estimates[1]
        assert snips.low < TRUTH / 0.75 * factor < snips.high


def test_policy_in_a_column_gives_the_weights_and_needs_no_table() -> None:
    shown = np.array([0.1, 0.1, 0.2, 0.6])[
        [int(name[1:]) for name in UNIFORM["item_id"].to_pylist()]
    ]
    report = evaluate_log(UNIFORM.append_column("new", pa.array(shown)), "column:new")
    assert [one.name for one in report.total.estimates] == ["ips", "snips"]
    by_table = evaluate_log(UNIFORM, PROBABILITIES, estimators=["ips", "snips"])
    assert report.total.estimates == by_table.total.estimates
    assert report.conclusion == "better"


def test_few_effective_rows_wrong_propensities_and_missing_items_forbid_a_conclusion() -> None:
    rare = evaluate_log(log_of([1000, 1, 1, 1]), "uniform")
    assert rare.conclusion is None
    assert "effective sample size" in rare.warnings[0]
    halved = UNIFORM.set_column(3, "propensity", pa.array(np.full(4_000, 0.125)))
    wrong = evaluate_log(halved, "uniform")
    assert wrong.conclusion is None
    assert "mean weight is 2.000" in wrong.warnings[0]
    missing = evaluate_log(log_of([1, 1, 1, 0]), PROBABILITIES)
    assert missing.unsupported == pytest.approx(0.6)
    assert any("never shows 60%" in warning for warning in missing.warnings)


def test_cascade_multiplies_the_weights_of_the_lines_above() -> None:
    table = pa.table(
        {
            "recommendation_id": ["a", "b", "a", "a"],
            "item_id": ["x", "x", "y", "z"],
            "position": [2, 1, 1, 3],
            "propensity": [0.5] * 4,
            "reward": [0.0] * 4,
        }
    )
    weight = cascade_weights(read_log(table), np.array([2.0, 3.0, 5.0, 7.0]))
    assert weight.tolist() == [10.0, 3.0, 5.0, 70.0]
    assert evaluate_log(UNIFORM, PROBABILITIES, lists="cascade").total.effective < (
        evaluate_log(UNIFORM, PROBABILITIES).total.effective
    )


def test_open_bandit_columns_are_read_and_rows_are_independent(tmp_path: Path) -> None:
    table = UNIFORM.drop_columns(["recommendation_id"]).rename_columns(
        ["item_id", "position", "propensity_score", "click"]
    )
    csv.write_csv(table, tmp_path / "log.csv")
    log = read_log(tmp_path / "log.csv")
    assert not log.lists
    assert len(set(log.cluster)) == 4_000
    assert log.reward.sum() == sum(UNIFORM["reward"].to_pylist())


def test_command_prints_estimates_sizes_and_verdict(tmp_path: Path) -> None:
    csv.write_csv(UNIFORM, tmp_path / "log.csv")
    csv.write_csv(PROBABILITIES, tmp_path / "policy.csv")
    csv.write_csv(log_of([1000, 1, 1, 1]), tmp_path / "rare.csv")
    said = run("ope", tmp_path / "log.csv", "--policy", tmp_path / "policy.csv").stdout
    assert "effective sample size" in said
    assert "Compared to the logging policy: better." in said
    refused = run("ope", tmp_path / "rare.csv", "--policy", "uniform").stdout
    assert "No conclusion is drawn." in refused
    found = run_json("ope", tmp_path / "log.csv", "--policy", "uniform", "--estimators", "dros")
    assert found["total"]["estimates"][0]["name"] == "dros"
    assert json.dumps(found)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"propensity": [0.0, 0.5]}, "propensity of row 0 is 0"),
        ({"propensity": [0.5, 1.5]}, "propensity of row 1 is 1.5"),
        ({"reward": [None, 1.0]}, "reward of row 0 is nan"),
        ({"position": [1.5, 1.0]}, "position of row 0 is 1.5"),
        ({"item_id": [None, "x"]}, "item_id is missing in 1 rows"),
    ],
)
def test_wrong_values_are_refused_with_their_row(change: dict[str, Any], words: str) -> None:
    columns = {"item_id": ["x", "y"], "propensity": [0.5, 0.5], "reward": [0.0, 1.0]}
    with pytest.raises(InvalidInput, match=words.replace(".", r"\.")):
        evaluate_log(pa.table({**columns, **change}), "uniform")


@pytest.mark.parametrize(
    ("policy", "words"),
    [
        ("unifrom", "write uniform, column:NAME"),
        ("column:none", "no column 'none'"),
        ("column:reward2", "no column"),
        (PROBABILITIES.slice(0, 2), "they must sum to 1"),
        (pa.table({"item_id": ["i0"], "probability": [2.0]}), "from 0 to 1"),
    ],
)
def test_wrong_policies_are_refused(policy: object, words: str) -> None:
    with pytest.raises(InvalidInput, match=words):
        read_policy(policy, read_log(UNIFORM))


def test_wrong_options_are_refused() -> None:
    with pytest.raises(InvalidInput, match="choose from ips"):
        evaluate_log(UNIFORM, "uniform", estimators=["best"])
    with pytest.raises(InvalidInput, match="choose from independent"):
        evaluate_log(UNIFORM, "uniform", lists="some")
    with pytest.raises(InvalidInput, match="one row"):
        evaluate_log(UNIFORM.slice(0, 1), "uniform")
    assert run("ope", "x.csv", "--policy", "uniform", "--column", "rew=click").exit_code == 2


def test_a_log_that_was_read_is_not_read_again() -> None:
    log = read_log(UNIFORM)
    assert isinstance(log, LoggedRows)
    assert evaluate_log(log, "uniform") == evaluate_log(UNIFORM, "uniform")
