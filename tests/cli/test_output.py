import io
import json
import sys
from pathlib import Path

import pytest
from tests.cli.running import WAIT, started

from nearline.cli.ask import signed
from nearline.cli.output import printable, progress_bars, write_json, write_table
from nearline.common.progress import no_progress
from nearline.schema import Part


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_printable_escapes_control_characters() -> None:
    assert printable("Amélie 日本 [red] :smile:") == "Amélie 日本 [red] :smile:"
    assert printable("a\x1b[2Jb\nc\td") == r"a\x1b[2Jb\nc\td"
    assert printable("two\nlines", keep="\n") == "two\nlines"


def test_tables_do_not_interpret_markup(capsys: pytest.CaptureFixture[str]) -> None:
    write_table([["title", "n"], ["[red] :smile: \x1b[2J", "1"], ["b", "22"]], numbers=[1])
    lines = [line.rstrip() for line in capsys.readouterr().out.splitlines()]
    assert lines[0].split() == ["title", "n"]
    assert r"[red] :smile: \x1b[2J" in lines[2]
    assert lines[2].endswith(" 1")
    assert lines[3].endswith("22")


@pytest.mark.parametrize(
    ("amount", "text"),
    [(0.25, "+0.2500"), (-0.00005, "-0.0001"), (0.00004, "+4.0e-05"), (0.0, "+0.0000")],
)
def test_small_amounts_are_not_shown_as_zero(amount: float, text: str) -> None:
    assert signed(amount, 4) == text


def test_a_closed_stream_is_not_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdout", None)
    monkeypatch.setattr(sys, "stderr", None)
    write_table([["word"], ["lost"]])
    with progress_bars() as progress:
        assert progress is no_progress


def test_json_is_one_document(capsys: pytest.CaptureFixture[str]) -> None:
    write_json({"parts": [Part(source="é", relation="content", amount=0.5)]})
    out = capsys.readouterr().out
    assert json.loads(out) == {"parts": [{"source": "é", "relation": "content", "amount": 0.5}]}
    assert out.endswith("}\n")


def test_no_progress_bars_without_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stderr", io.StringIO())
    with progress_bars() as progress:
        assert progress is no_progress


def test_progress_bars_on_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    with progress_bars() as progress:
        progress(1, 4, "events")
        progress(4, 4, "events")
        progress(10, 0, "a file of unknown size")
    drawn = terminal.getvalue()
    assert "events" in drawn
    assert "4/4" in drawn


def test_bars_of_finished_steps_are_complete(monkeypatch: pytest.MonkeyPatch) -> None:
    """Steps that report only their start are complete when the next one begins, or at the end."""
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    with progress_bars() as progress:
        progress(0, 4, "search")
        progress(0, 3, "fit")
    last = terminal.getvalue().split("search")[-1]
    assert "4/4" in last
    assert "3/3" in last


def test_piped_output_contains_only_the_document(tmp_path: Path, events: Path) -> None:
    with started("import", "--store", tmp_path / "store", events, "--json") as process:
        out, err = process.communicate(timeout=WAIT)
    assert process.returncode == 0
    assert json.loads(out)["records_stored"] == 60
    assert err == ""
