"""The house rules of docs/architecture.md, read from its own table and held against the code."""

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
SOURCE = ROOT / "src" / "nearline"
ARCHITECTURE = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
OPTIONAL = {"pandas", "polars", "torch", "kafka", "aiokafka", "psycopg", "valkey", "pyspark"}


def import_table() -> dict[str, set[str]]:
    """Rows of the table below "Who may import whom": room to rooms."""
    section = ARCHITECTURE.split("## Who may import whom", 1)[1].split("\n## ", 1)[0]
    table: dict[str, set[str]] = {}
    for line in section.splitlines():
        cells = re.findall(r"^\| (.+?) \| (.+?) \|$", line)
        if cells and cells[0][0] not in ("room", "---"):
            rooms, allowed = cells[0]
            for room in re.findall(r"`(\w+)`", rooms):
                table[room] = set(re.findall(r"`(\w+)`", allowed))
    return table


def room_of(path: Path) -> str:
    return path.relative_to(SOURCE).parts[0].removesuffix(".py")


def imports(path: Path) -> set[str]:
    """Absolute names of the modules that `path` imports, at any depth of the code."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import; write it out"
            module = node.module or ""
            names.add(module)
            if module == "nearline":
                names.update(f"nearline.{alias.name}" for alias in node.names)
    return names


def rooms_imported(path: Path) -> set[str]:
    return {name.split(".")[1] for name in imports(path) if name.startswith("nearline.")}


FILES = sorted(SOURCE.rglob("*.py"))
ROOMS = sorted({room_of(path) for path in FILES} - {"__init__"})


def test_the_table_is_read() -> None:
    table = import_table()
    assert table["kernels"] == set()
    assert "log" in table["data"]


@pytest.mark.parametrize("room", ROOMS)
def test_room_is_in_the_table_and_imports_only_what_it_may(room: str) -> None:
    table = import_table()
    assert room in table, f"docs/architecture.md does not say what {room} may import"
    for path in FILES:
        if room_of(path) == room:
            forbidden = rooms_imported(path) - table[room] - {room}
            assert not forbidden, f"{path.relative_to(ROOT)} imports {sorted(forbidden)}"


def test_every_room_of_the_table_exists() -> None:
    assert set(import_table()) == set(ROOMS)


def test_nothing_that_ships_imports_testing() -> None:
    for path in FILES:
        if room_of(path) != "testing":
            assert "testing" not in rooms_imported(path), path


# Rooms that are there to hold an optional package, and which.
HOLDERS = {"adapters": OPTIONAL, "neural": {"torch"}}


def test_optional_packages_only_in_adapters() -> None:
    for path in FILES:
        found = {name.split(".")[0] for name in imports(path)} & OPTIONAL
        found -= HOLDERS.get(room_of(path), set())
        assert not found, f"{path.relative_to(ROOT)} imports {sorted(found)}"


# Leaves that nothing has to list: a new algorithm is one new file (and a kernel, if it needs one).
UNLISTED = {"models", "kernels"}


def test_every_file_stands_in_the_architecture() -> None:
    for path in FILES:
        if path.name != "__init__.py" and room_of(path) not in UNLISTED:
            name = path.relative_to(SOURCE).as_posix()
            assert name in ARCHITECTURE, f"docs/architecture.md does not lead to {name}"
