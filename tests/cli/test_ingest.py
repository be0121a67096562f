"""The commands that ingest files of lines, and show the quarantine."""

import json
from pathlib import Path

import pytest
from tests.cli.running import run, run_json


@pytest.fixture
def lines(tmp_path: Path) -> Path:
    path = tmp_path / "e.ndjson"
    rows = [{"who": f"u{n % 3}", "item_id": f"i{n % 4}"} for n in range(12)]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows) + "poison\n")
    return path


def test_a_file_its_quarantine_and_a_replay(lines: Path, tmp_path: Path) -> None:
    store = ("--store", str(tmp_path / "s"))
    done = run_json("ingest", str(lines), *store)
    assert (done["messages"], done["events"], done["quarantined"]) == (13, 0, 13)
    shown = run("quarantine", "list", *store, "--limit", "2")
    assert "user_id is missing" in shown.output
    assert "file:e.ndjson" in shown.output
    found = run_json("quarantine", "list", *store, "--limit", "2")
    assert (found["total"], len(found["messages"])) == (13, 2)
    assert found["messages"][0]["position"] == 0
    mapped = ("--map", "user_id=who")
    assert run_json("quarantine", "replay", *store, *mapped)["events"] == 12
    again = run("ingest", str(lines), *store, "--map", "user_id=who", "--restart")
    assert "12 known" in again.output
    assert "1 in quarantine" in again.output
    assert run_json("quarantine", "drop", *store)["dropped"] == 1
    assert "0 messages dropped" in run("quarantine", "drop", *store).output


def test_wrong_use(lines: Path, tmp_path: Path) -> None:
    store = ("--store", str(tmp_path / "s"))
    for wrong, code in (
        ((str(tmp_path / "none"),), 1),
        (("http://host/topic",), 1),
        ((str(lines), "--map", "user_id"), 2),
        ((str(lines), "--map", "user=who"), 1),
        ((str(lines), "--mapping", "other"), 1),
        ((str(lines), "--batch", "0"), 2),
        ((str(lines), "--start", "end"), 1),
        ((str(lines), "--name", ""), 1),
    ):
        result = run("ingest", *wrong, *store)
        assert result.exit_code == code, (wrong, result.output)
        assert "Traceback" not in result.output
    missing = run("quarantine", "list", "--store", str(tmp_path / "none"))
    assert (missing.exit_code, "no store" in missing.stderr) == (1, True)
