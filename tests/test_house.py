"""The layers of docs/architecture.md, read from its list, match the imports of the code."""

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
SOURCE = ROOT / "src" / "nearline"
ARCHITECTURE = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
OPTIONAL = {"pandas", "polars", "torch", "kafka", "aiokafka", "psycopg", "valkey", "pyspark"}
# Packages that exist to contain an optional import, and which one.
HOLDERS = {"adapters": OPTIONAL, "neural": {"torch"}, "log": {"psycopg"}, "testing": OPTIONAL}
MAX_LINES = 400


def layers() -> list[set[str]]:
    """Read the list below "## Layers": the packages of each layer, the highest first."""
    section = ARCHITECTURE.split("## Layers", 1)[1].split("\n## ", 1)[0]
    lines = re.findall(r"^\d+\. ((?:`\w+`(?: · )?)+)", section, re.MULTILINE)
    return [set(re.findall(r"`(\w+)`", line)) for line in lines]


def package_of(path: Path) -> str:
    return path.relative_to(SOURCE).parts[0].removesuffix(".py")


def imports(tree: ast.AST) -> set[str]:
    """Absolute names of the modules that code imports, at any depth."""
    names: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "relative import; write the module's full name"
            module = node.module or ""
            names.add(module)
            if module == "nearline":
                names.update(f"nearline.{alias.name}" for alias in node.names)
    return names


def forbidden(package: str, tree: ast.AST, order: list[set[str]]) -> set[str]:
    """Packages that this code of `package` imports and that do not stand below it."""
    level = next(at for at, names in enumerate(order) if package in names)
    below = set().union(*order[level + 1 :])
    found = {name.split(".")[1] for name in imports(tree) if name.startswith("nearline.")}
    return found - below - {package}


FILES = sorted(SOURCE.rglob("*.py"))
TREES = {path: ast.parse(path.read_text(encoding="utf-8")) for path in FILES}
PACKAGES = sorted({package_of(path) for path in FILES} - {"__init__"})


def test_layers_are_few_and_name_every_package_once() -> None:
    order = layers()
    assert 10 <= len(order) <= 15
    assert sorted(name for names in order for name in names) == PACKAGES


def test_at_most_three_modules_stand_beside_the_packages() -> None:
    loose = {path.name for path in SOURCE.glob("*.py")} - {"__init__.py"}
    assert loose <= {"config.py", "errors.py"}


@pytest.mark.parametrize("package", PACKAGES)
def test_package_imports_only_from_the_layers_below_it(package: str) -> None:
    for path in FILES:
        if package_of(path) == package:
            wrong = forbidden(package, TREES[path], layers())
            assert not wrong, f"{path.relative_to(ROOT)} imports {sorted(wrong)}"


@pytest.mark.parametrize(
    ("package", "code", "found"),
    [
        ("kernels", "from nearline.state import State", {"state"}),
        ("models", "def late():\n    import nearline.engine", {"engine"}),
        ("recommend", "from nearline import training", {"training"}),
        ("log", "from nearline.state.state import State", {"state"}),  # same layer
        ("engine", "from nearline.schema import Event", set()),
    ],
)
def test_upward_import_is_found(package: str, code: str, found: set[str]) -> None:
    assert forbidden(package, ast.parse(code), layers()) == found


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.relative_to(SOURCE).as_posix())
def test_file_fits_on_a_few_pages(path: Path) -> None:
    assert len(path.read_text(encoding="utf-8").splitlines()) <= MAX_LINES


def test_no_class_name_is_defined_twice() -> None:
    seen: dict[str, Path] = {}
    for path, tree in TREES.items():
        for node in ast.walk(tree):
            if isinstance(node, ast.ClassDef):
                first = seen.setdefault(node.name, path)
                assert first == path, f"{node.name} is defined in {first} and in {path}"


def test_optional_packages_are_imported_only_where_they_are_contained() -> None:
    for path in FILES:
        found = {name.split(".")[0] for name in imports(TREES[path])} & OPTIONAL
        found -= HOLDERS.get(package_of(path), set())
        assert not found, f"{path.relative_to(ROOT)} imports {sorted(found)}"
