"""The summary of an import, which shows common mistakes."""

import json
from pathlib import Path
from typing import Any

import pytest

import nearline as nl
from nearline.ingest import kept_summaries

NOW = 1_700_000_000.0
TEXT = (
    "who,what,when,kind,amount\n"
    "ann,tea,20210131,Add to cart,$4.50\n"
    "ann,pot,20210201,Purchase,cheap\n"
    "ben,tea,20210202,impression,\n"
    "NULL,tea,20210203,Purchase,\n"
    "ben,pot\n"
    "ben,cup,soon,Purchase,\n"
)
COLUMNS = {
    "user_id": "who",
    "item_id": "what",
    "timestamp": "when",
    "event": "kind",
    "value": "amount",
}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "sales.csv"
    path.write_text(TEXT)
    return path


def imported(path: Path, store: Path | None = None) -> Any:
    with nl.Recommender(store, clock=lambda: NOW) as rec:
        return rec.add(path, columns=COLUMNS)


def test_the_report_contains_all_parts(path: Path) -> None:
    report = imported(path)
    assert (report.rows_in, report.rows_kept, report.rows_dropped) == (6, 3, 3)
    assert [(drop.reason, drop.example.split(":")[0]) for drop in report.dropped] == [
        ("line has 2 fields instead of 5", "line 6"),
        ("user_id is missing", "line 5"),
        ("timestamp is not a valid time", "line 7"),
    ]
    assert "user_id='NULL'" in report.dropped[1].example
    assert "timestamp='soon'" in report.dropped[2].example
    (fault,) = report.fields
    assert fault.example == "line 3: value='cheap'"
    assert (report.n_users, report.n_items, report.known) == (2, 2, 0)
    assert str(report.times) == (
        "2021-01-31 00:00:00 to 2021-02-02 00:00:00 UTC, read as dates as yyyymmdd"
    )
    assert {(kind.event, kind.rows, kind.weight, kind.known) for kind in report.kinds} == {
        ("Add to cart", 1, 2.0, True),
        ("Purchase", 1, 3.0, True),
        ("impression", 1, 1.0, False),
    }
    assert report.columns == {column: field for field, column in COLUMNS.items()}


@pytest.mark.parametrize(
    "line",
    [
        "6 rows read, 3 kept, 3 dropped",
        "user_id is missing (line 5: user_id='NULL', ",
        "left out of rows that were kept:",
        "value is not a finite number (line 3: value='cheap')",
        "users: 2, items: 2",
        "read as dates as yyyymmdd",
        "impression? 1 (weight 1)",
        "--weights KIND=NUMBER",
        "what is item_id",
    ],
)
def test_the_text_of_the_report(path: Path, line: str) -> None:
    assert line in str(imported(path))


def test_a_store_keeps_the_last_summaries(path: Path, tmp_path: Path) -> None:
    store = tmp_path / "store"
    for _ in range(22):
        report = imported(path, store)
    found = kept_summaries(store)
    assert len(found) == 20
    assert found[-1]["interactions"] == json.loads(json.dumps(report.as_dict()))
    assert found[-1]["interactions"]["known"] == 3
    assert found[-1]["time"] == NOW


def test_an_erasure_removes_the_examples(path: Path, tmp_path: Path) -> None:
    store = tmp_path / "store"
    with nl.Recommender(store, clock=lambda: NOW) as rec:
        rec.add(path, columns=COLUMNS)
        assert b"ben" in (store / "imports.json").read_bytes()
        rec.forget("ben").result()
        assert b"ben" not in (store / "imports.json").read_bytes()
    (summary,) = kept_summaries(store)
    assert (summary["interactions"]["rows_in"], summary["interactions"]["rows_kept"]) == (6, 3)


def test_a_damaged_file_of_summaries_is_ignored(path: Path, tmp_path: Path) -> None:
    store = tmp_path / "store"
    imported(path, store)
    (store / "imports.json").write_bytes(b"[{")
    imported(path, store)
    assert len(kept_summaries(store)) == 1
