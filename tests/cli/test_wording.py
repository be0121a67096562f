"""Conversion of the advice in errors to command-line options."""

from pathlib import Path

import pytest
from tests.cli.running import run

from nearline.cli.wording import for_command_line


@pytest.mark.parametrize(
    ("python", "cli"),
    [
        ("map names with columns={'item_id': 'filmId'}", "map names with --column item_id=filmId"),
        (
            "columns={'user_id': 'who', 'item_id': 'a b'}",
            "--column user_id=who --column 'item_id=a b'",
        ),
        ("columns={'user_id': \"it's\"} is", "--column 'user_id=it'\\''s' is"),
        ("columns={broken} is", "--column FIELD=COLUMN is"),
        ("read it with read_table(path, encoding=...) and pass the table", "use --encoding NAME"),
        ("use read_table(path, separator=';') and pass the table", "use --separator ';'"),
        ("try time_format='%d.%m.%Y'", "try --time-format '%d.%m.%Y'"),
        ("or evaluate with exclude_seen=False", "or evaluate with --include-seen"),
        ("Convert it, or load it yourself and pass the frame", "Convert it"),
        ("encoder='auto' found no language model", "--encoder auto found no language model"),
        ("k is 0; it must be 1 to 1000", "k is 0; it must be 1 to 1000"),
    ],
)
def test_python_becomes_options(python: str, cli: str) -> None:
    assert for_command_line(python) == cli


def test_commands_do_not_advise_python(tmp_path: Path) -> None:
    path = tmp_path / "seen.csv"
    path.write_text("customer,item_id\na,1\n")
    message = run("import", "--store", tmp_path / "store", path).stderr
    assert "--column user_id=customer" in message
    assert "columns=" not in message
