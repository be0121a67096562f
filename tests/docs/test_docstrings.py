"""Every ``>>>`` in a docstring of the package is run."""

import doctest
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path

import pytest
from tests.docs.blocks import ROOT

SOURCE = ROOT / "src"


def modules_with_examples() -> Iterator[str]:
    for path in sorted(SOURCE.rglob("*.py")):
        if ">>> " in path.read_text(encoding="utf-8"):
            parts = path.relative_to(SOURCE).with_suffix("").parts
            yield ".".join(part for part in parts if part != "__init__")


MODULES = list(modules_with_examples())


def test_the_way_in_has_an_example() -> None:
    assert {"nearline", "nearline.engine.recommender"} <= set(MODULES)


@pytest.mark.parametrize("name", MODULES)
def test_examples_hold(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    result = doctest.testmod(import_module(name), optionflags=doctest.ELLIPSIS)
    assert result.attempted > 0
    assert result.failed == 0
