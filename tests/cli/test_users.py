"""Users and critiques on the command line."""

from pathlib import Path

import pyarrow as pa
import pytest
from pyarrow import csv
from tests.cli.running import run_json


@pytest.fixture
def shop(tmp_path: Path) -> Path:
    table = pa.table({"user_id": list("aabbc"), "item_id": ["i1", "i2", "i1", "i3", "i2"]})
    csv.write_csv(table, tmp_path / "events.csv")
    run_json("import", "--store", str(tmp_path / "s"), str(tmp_path / "events.csv"), "--json")
    return tmp_path / "s"


def test_attributes_and_critiques(shop: Path) -> None:
    store = ("--store", str(shop), "--json")
    found = run_json("user", "a", *store, "--set", "age=31", "--set", 'likes=["tea"]')
    assert found["attributes"] == {"age": 31, "likes": ["tea"]}
    found = run_json("user", "a", *store, "--unset", "age", "--set", "land=FR")
    assert found["attributes"] == {"likes": ["tea"], "land": "FR"}
    assert len(found["history"]) == 2
    said = run_json("critique", "c", *store, "--not", "i1", "--lasting")["critiques"]
    assert [(one["not"], one["lasting"]) for one in said] == [("i1", True)]
    listed = run_json("recommend", "c", *store)["items"]
    assert "i1" not in [line["item_id"] for line in listed]
    said = run_json("critique", "c", *store, "--revoke", said[0]["critique_id"])
    assert said["critiques"] == []
    assert "i1" in [line["item_id"] for line in run_json("recommend", "c", *store)["items"]]
