"""A small shop, in which red and blue customers buy red and blue items."""

from pathlib import Path

import pytest
from tests.cli.running import run_json

RED = ["r1", "r2", "r3", "r4"]
BLUE = ["b1", "b2", "b3", "b4"]


def write_events(path: Path) -> Path:
    """Write events of 20 customers, 3 each, in the order of their items from different starts."""
    lines = ["user_id,item_id,timestamp"]
    for user in range(20):
        things = RED if user % 2 else BLUE
        for step in range(3):
            lines.append(f"u{user},{things[(user // 2 + step) % 4]},{1_700_000_000 + 60 * step}")
    path.write_text("\n".join(lines) + "\n")
    return path


def write_items(path: Path) -> Path:
    lines = ["item_id,title,category"]
    lines += [f"{item},red thing {item},red" for item in RED]
    lines += [f"{item},blue thing {item},blue" for item in BLUE]
    path.write_text("\n".join(lines) + "\n")
    return path


@pytest.fixture
def events(tmp_path: Path) -> Path:
    return write_events(tmp_path / "events.csv")


@pytest.fixture
def items(tmp_path: Path) -> Path:
    return write_items(tmp_path / "items.csv")


@pytest.fixture(scope="session")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A trained store, which tests only read."""
    folder = tmp_path_factory.mktemp("shop")
    events, items = write_events(folder / "events.csv"), write_items(folder / "items.csv")
    run_json("import", "--store", folder / "store", events, "--items", items)
    run_json("train", "--store", folder / "store")
    return folder / "store"
