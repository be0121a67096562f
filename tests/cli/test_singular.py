"""One of something is written in the singular, by every command."""

import re
from pathlib import Path

import pytest
from tests.cli.running import run

PLURAL = re.compile(
    r"(?<![\d.,:/\-])1 (?:[a-z-]+ )?(?!has\b|is\b|was\b)[a-z]+s\b(?! (?:serves|holds))"
)
ROW = "user_id,item_id,timestamp\nann,tea,1600000000\n"
PAIR = ROW + "ann,pot,1600000100\n"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store with one event, trained; and files with one and two rows."""
    folder = tmp_path_factory.mktemp("one")
    (folder / "one.csv").write_text(ROW)
    (folder / "two.csv").write_text(PAIR)
    (folder / "again.csv").write_text(ROW + "ann,tea,1600000000\n,pot,1600000000\n")
    (folder / "items.csv").write_text("item_id,title,price\ntea,Tea,3\n,Pot,4\n")
    run("import", "--store", folder / "store", folder / "one.csv")
    run("train", "--store", folder / "store")
    return folder


COMMANDS = [
    "import --store {0}/new {0}/one.csv",
    "import --store {0}/other {0}/again.csv --items {0}/items.csv",
    "import --store {0}/other {0}/one.csv",
    "import --store {0}/catalogue --items {0}/items.csv",
    "info --store {0}/store",
    "train --store {0}/store",
    "train --store {0}/store --model popularity",
    "snapshots --store {0}/store",
    "recommend --store {0}/store new -k 1",
    "recommend --store {0}/store ann --include-seen --explain",
    "similar --store {0}/store tea",
    "export --store {0}/store {0}/lists -k 1 --include-seen",
    "doctor --store {0}/store",
    "evaluate {0}/two.csv",
    "evaluate {0}/one.csv",
    "compare {0}/two.csv --models popularity",
    "replay {0}/two.csv",
    "demo --exit --dataset {0}/two.csv",
]


@pytest.mark.parametrize("command", COMMANDS)
def test_no_plural_after_one(folder: Path, command: str) -> None:
    result = run(*command.format(folder).split())
    assert result.exit_code in (0, 1)
    text = result.stdout + result.stderr
    assert text
    assert not PLURAL.findall(text), text


def test_the_pattern_finds_plurals() -> None:
    assert PLURAL.search("1 rows read")
    assert PLURAL.search("of 1 held-out items")
    assert not PLURAL.search("11 rows, 0.1 rows, 1 row, 2,1 rows")
