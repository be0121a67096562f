"""The command `replay`: output as text and JSON, and wrong use."""

import json
import sys
from pathlib import Path

import pytest
from tests.cli.running import run, run_json

ARMS = ["online", "fold-in", "nightly", "online, trained once", "fold-in, trained once"]


@pytest.fixture
def stream(tmp_path: Path) -> Path:
    """40 customers in 40 hours; each buys four of five items, in the same order."""
    lines = ["user_id,item_id,timestamp"]
    for user in range(40):
        for step in range(4):
            lines.append(f"u{user},i{(user + step) % 5},{1_700_000_000 + 3600 * user + step}")
    path = tmp_path / "stream.csv"
    path.write_text("\n".join(lines) + "\n")
    return path


def test_a_table(stream: Path) -> None:
    text = run("replay", stream, "--warm-up", "0.75", "--day", "7200").stdout
    assert "160 events in order of time." in text
    # Ten of 40 hours remain: five days of two hours, with four nights between them.
    assert "40 events replayed, 4 retrainings; 40 of 40 events new to their user evaluated" in text
    online = next(line for line in text.splitlines() if "online " in line and "[" in line)
    assert online.count("[") == 2
    assert all(arm in text for arm in ARMS)
    assert "newcomers" in text


def test_the_same_as_json_and_in_a_file(stream: Path, tmp_path: Path) -> None:
    options = ["--sample", "25", "--seed", "3", "-k", "2", "--out", str(tmp_path / "out.json")]
    found = run_json("replay", stream, *options)
    assert found == json.loads((tmp_path / "out.json").read_text())
    assert (found["k"], found["n_evaluated"], found["n_candidates"]) == (2, 25, 80)
    assert list(found["means"]["ndcg"]) == ARMS
    assert list(found["differences"]["hit_rate"]) == ARMS[1:]
    # Items follow each other, and nightly lists do not include a customer who is new that day.
    assert found["means"]["ndcg"]["online"] > found["means"]["ndcg"]["nightly"]
    assert sum(window["n_evaluated"] for window in found["windows"]) == 25
    assert found == run_json("replay", stream, *options)


def test_positions_are_spread(stream: Path) -> None:
    found = run_json("replay", stream, "--spread", "10")
    assert found["spread"] == 10.0
    assert found["windows"][-1]["to"] < 10 * 86_400


def test_the_speed_limits_the_replay(stream: Path) -> None:
    # 20 hours in some milliseconds.
    found = run_json("replay", stream, "--speed", "1e7")
    assert found["speed"] == 1e7
    assert found["n_replayed"] == 80


def test_a_picture(stream: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    picture = tmp_path / "replay.svg"
    assert run("replay", stream, "--picture", picture).exit_code == 0
    text = picture.read_text()
    for words in ("online", "fold-in, trained once", "ndcg@10", "160 events"):
        assert f"<!-- {words}" in text or words in text
    assert run("replay", stream, "--picture", tmp_path / "replay.png").exit_code == 0
    assert (tmp_path / "replay.png").read_bytes()[:4] == b"\x89PNG"
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    refused = run("replay", stream, "--picture", picture)
    assert refused.exit_code == 1
    assert "nearline[plot]" in refused.stderr


@pytest.mark.parametrize(
    ("options", "code", "words"),
    [
        (["--warm-up", "1"], 2, "--warm-up"),
        (["--day", "0"], 2, "--day"),
        (["--warm-up", "0.001"], 1, "warm-up has 0 of 160 events"),
        (["--picture", "all.jpg"], 1, ".png or .svg"),
    ],
)
def test_wrong_use(stream: Path, options: list[str], code: int, words: str) -> None:
    result = run("replay", stream, *options)
    assert result.exit_code == code
    assert words in result.stderr
