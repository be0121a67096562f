"""The command `export`: its files, and its message about an interrupted run."""

from pathlib import Path

import msgspec
import pytest
from pyarrow import dataset as ds
from tests.cli.running import run, run_json

from nearline.engine import Recommender
from nearline.recommend.export import Exported


def test_lists_of_all_users_are_written(shop: Path, tmp_path: Path) -> None:
    found = run_json("export", "--store", shop, tmp_path / "lists", "-k", "2")
    assert (found["users"], found["rows"], found["parts"]) == (20, 40, 1)
    table = ds.dataset(tmp_path / "lists").to_table()
    assert table.column_names == ["user_id", "item_id", "score", "rank"]
    assert table.num_rows == 40


def test_a_table_limits_the_users(shop: Path, tmp_path: Path) -> None:
    (tmp_path / "some.csv").write_text("user_id\nu3\nu1\n")
    options = ["-k", "1", "--users", str(tmp_path / "some.csv")]
    text = run("export", "--store", shop, tmp_path / "lists", *options).stdout
    assert "2 lines for 2 users in 1 part file in" in text
    assert "offset 68." in text
    lists = ds.dataset(tmp_path / "lists").to_table().to_pylist()
    assert {row["user_id"] for row in lists} == {"u1", "u3"}
    # Lists of another length replace these.
    text = run("export", "--store", shop, tmp_path / "lists", *options[2:], "-k", "2").stdout
    assert "of another state or with other options: replaced" in text
    assert "4 lines for 2 users" in text


def test_a_resumed_export_says_so(
    shop: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    done = Exported("lists", "m", 68, users=20, rows=40, parts=3, resumed=2, started_over=False)
    monkeypatch.setattr(Recommender, "export", lambda *_, **__: done)
    text = run("export", "--store", shop, tmp_path / "lists").stdout
    assert "Resumed: 2 part files already complete." in text
    assert run_json("export", "--store", shop, tmp_path) == msgspec.to_builtins(done)
