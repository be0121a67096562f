import json
from pathlib import Path

import pytest
from tests.cli.running import run, run_json

from nearline.bench.plan import Figure, ScenarioReport, figure
from nearline.bench.scenarios import SCENARIOS
from nearline.cli.bench import NAMES, number


def test_the_help_names_all_scenarios() -> None:
    assert tuple(SCENARIOS) == NAMES


def test_a_scenario_from_the_command_line(tmp_path: Path) -> None:
    out, picture = tmp_path / "found.json", tmp_path / "memory.svg"
    sizes = ("--quick", "--seconds", "0.5", "--users", "50")
    found = run_json("bench", "mixed", *sizes, "--out", out, "--picture", picture)
    assert found == json.loads(out.read_text())
    assert found["scenario"] == "mixed"
    # Options given in addition to --quick override it.
    assert (found["settings"]["seconds"], found["settings"]["users"]) == (0.5, 50)
    assert (found["settings"]["items"], found["settings"]["repeats"]) == (200, 1)
    failed = next(one for one in found["figures"] if one["name"] == "failed")
    assert (failed["value"], failed["target"], failed["met"]) == (0, 0, True)
    assert picture.read_text().startswith("<?xml")


def test_figures_are_printed_with_spread_and_target(monkeypatch: pytest.MonkeyPatch) -> None:
    spread = Figure(name="p99", unit="ms", value=3.0, low=2.5, high=12_345.0, target=2.0)
    report = ScenarioReport(
        figures=[figure("failed", "", 0.0, at_most=0.0), spread, figure("rate", "1/s", 7.0)],
        notes=["load: none"],
    )
    monkeypatch.setitem(SCENARIOS, "mixed", lambda _: report)
    first, *lines = run("bench", "mixed").stdout.splitlines()
    assert first.startswith("mixed: 100,000 users, 100,000 items, 10 events per user")
    assert _figures(lines) == [
        ["failed", "0", "<=", "0", "yes"],
        ["p99", "3", "ms", "2.5", "to", "12,345", "<=", "2", "no"],
        ["rate", "7", "1/s"],
    ]
    assert lines[-1] == "- load: none"
    for sizes in (["--quick"], ["--users", "50"]):  # only what holds for any size is judged
        *lines, last = run("bench", "mixed", *sizes).stdout.splitlines()
        assert _figures(lines) == [
            ["failed", "0", "<=", "0", "yes"],
            ["p99", "3", "ms", "2.5", "to", "12,345"],
            ["rate", "7", "1/s"],
        ]
        assert "Not compared with the targets for speed" in last
        figures = run_json("bench", "mixed", *sizes)["figures"]
        assert [one["met"] for one in figures] == [True, None, None]


def _figures(lines: list[str]) -> list[list[str]]:
    return [line.split() for line in lines if line.split()[:1] in (["failed"], ["p99"], ["rate"])]


@pytest.mark.parametrize(
    "arguments", [["faster"], ["mixed", "--seconds", "0"], ["mixed", "--repeats", "0"], []]
)
def test_wrong_use(arguments: list[str]) -> None:
    assert run("bench", *arguments).exit_code == 2


def test_an_invalid_picture_is_refused_before_the_benchmark_runs(tmp_path: Path) -> None:
    result = run("bench", "mixed", "--picture", tmp_path / "memory.gif")
    assert result.exit_code == 1
    assert ".svg" in result.stderr


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.0, "0"),
        (999.7, "1,000"),
        (99.96, "100"),
        (12345.6, "12,346"),
        (0.12345, "0.123"),
        (25_000.0, "25,000"),
    ],
)
def test_numbers_have_three_significant_digits(value: float, text: str) -> None:
    assert number(value) == text
