"""Counts of a large import are kept when the store is closed."""

from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pytest
from tests.training.test_acceptance import visits

import nearline as nl
from nearline.errors import StorageFailed
from nearline.jobs import merging
from nearline.log import SQLiteLog
from nearline.testing.inspector import inspect

USERS, NEVER, TRAINED = 40, 1_000_000, 30
ITEMS = [f"{colour}-{n}" for colour in ("red", "blue") for n in range(6)]


class Reads:
    """Number of records that were read from logs in bulk."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.number = 0
        records, payloads = SQLiteLog._records, SQLiteLog.payloads

        def counted_records(log: SQLiteLog, start: int, stop: int) -> Iterator[object]:
            for found in records(log, start, stop):
                self.number += 1
                yield found

        def counted_payloads(
            log: SQLiteLog, start: int = 0, stop: int | None = None
        ) -> Iterator[tuple[int, list[bytes]]]:
            for found in payloads(log, start, stop):
                self.number += len(found[1])
                yield found

        monkeypatch.setattr(SQLiteLog, "_records", counted_records)
        monkeypatch.setattr(SQLiteLog, "payloads", counted_payloads)


def import_into(folder: Path, table: pa.Table, *, trained: bool) -> None:
    with nl.Recommender(folder) as rec:
        if trained:
            rec.fit(visits(9).slice(0, TRAINED))
        rec.add(table)


def lists(rec: nl.Recommender) -> list[list[tuple[str, float]]]:
    found = [[(at.item_id, at.score) for at in rec.recommend(f"p{n}", k=5)] for n in range(USERS)]
    return found + [[(at.item_id, at.score) for at in rec.similar(item, k=5)] for item in ITEMS]


@pytest.mark.parametrize("trained", [False, True])
def test_no_start_counts_a_large_import(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, trained: bool
) -> None:
    table = visits(USERS)
    monkeypatch.setattr(merging, "IMPORTED", NEVER)
    import_into(tmp_path / "counted", table, trained=trained)
    # The records of a training are in the table, too, and are stored once.
    monkeypatch.setattr(merging, "IMPORTED", table.num_rows - TRAINED * trained)
    import_into(tmp_path / "kept", table, trained=trained)
    reads, found = Reads(monkeypatch), {}
    for name in ("counted", "kept"):
        reads.number = 0
        with nl.Recommender(tmp_path / name) as rec:
            snapshot = inspect(rec).snapshot
            covered = snapshot.manifest.offset if snapshot else 0
            assert (covered == rec.offset) == (reads.number == 0) == (name == "kept")
            found[name] = lists(rec)
            assert len(rec.versions.list()) == (1 if trained or name == "kept" else 0)
            rec.observe("p1", "red-4")
            found[name] += lists(rec)
    assert found["kept"] == found["counted"]


def test_snapshots_that_a_scenario_names_are_not_removed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither the counts of an import nor what else is stored with them replaces these."""
    with nl.Recommender(tmp_path / "shop") as rec:
        rec.fit(visits(9))
        named = rec.model_id
        rec.put_scenario("home", model=named)
        monkeypatch.setattr(merging, "IMPORTED", 1)
        rec.add(visits(USERS))
    with nl.Recommender(tmp_path / "shop") as rec:
        assert rec.model_id != named
        parts = inspect(rec)
        assert parts.snapshots is not None
        assert parts.snapshots.has(named)


def test_an_import_whose_counts_cannot_be_kept_is_counted_at_the_next_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def full(*_: object) -> None:
        raise StorageFailed("the disk is full")

    monkeypatch.setattr(merging, "IMPORTED", 1)
    monkeypatch.setattr(merging, "keep_merged", full)
    import_into(tmp_path / "shop", visits(USERS), trained=False)
    assert "the next start counts what was imported: the disk is full" in caplog.text
    with nl.Recommender(tmp_path / "shop") as rec:
        assert rec.offset == 5 * USERS
        assert rec.recommend("p1", k=3)
