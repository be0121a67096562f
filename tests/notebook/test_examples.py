"""The notebooks of examples/ run, and show what is stored in them."""

import json
import runpy
from pathlib import Path
from typing import Any

import pytest

EXAMPLES = Path(__file__).parents[2] / "examples"
NOTEBOOKS = sorted(EXAMPLES.glob("*.ipynb"))


def kinds(notebook: dict[str, Any]) -> list[list[list[str]]]:
    """Of each code cell: the kinds of its outputs, in their order."""
    return [
        [sorted(output.get("data", [output.get("name")])) for output in cell["outputs"]]
        for cell in notebook["cells"]
        if cell["cell_type"] == "code"
    ]


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_runs_and_shows_what_is_stored(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(EXAMPLES)
    execute = runpy.run_path(str(EXAMPLES / "execute.py"))["execute"]
    stored = json.loads(path.read_text(encoding="utf-8"))
    fresh = json.loads(path.read_text(encoding="utf-8"))
    execute(fresh)
    assert kinds(fresh) == kinds(stored)
    assert any("text/html" in kind for cell in kinds(fresh) for kind in cell if kind)


def test_there_are_three() -> None:
    assert len(NOTEBOOKS) == 3
