"""The measurement of growth: its data, its steps at a small size, and what it reports."""

import os
import signal
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from tests.forking import ForkedModules

from nearline.bench import harness, size, size_steps
from nearline.bench.harness import BenchFailed
from nearline.bench.size_data import measured, write_events


def test_growth_is_that_of_a_unit_of_work() -> None:
    rows: list[dict[str, Any]] = [
        {"step": "import", "events": 1_000_000, "wall_s": 5.0, "cpu_s": 4.0, "peak_mb": 100.0},
        {"step": "import", "events": 4_000_000, "wall_s": 20.0, "cpu_s": 24.0, "peak_mb": 400.0},
        {"step": "merge", "events": 1_000_000, "wall_s": 2.0, "cpu_s": 1.0},
        {"step": "merge", "events": 4_000_000, "wall_s": 3.0, "cpu_s": 4.0},
    ]
    found = {(r["step"], r["value"]): (r["ratio"], r["per_event"]) for r in size.ratios(rows)}
    assert found == {
        ("import", "wall_s"): (1.0, True),  # four times the events in four times the time
        ("import", "cpu_s"): (1.5, True),
        ("merge", "wall_s"): (1.5, False),  # the same change at both sizes
        ("merge", "cpu_s"): (4.0, False),
    }
    report = size.report_of(rows)
    assert report["import, 4,000,000 events: CPU per event, growth"] == 1.5
    assert report["merge, 4,000,000 events: elapsed, growth"] == 1.5
    assert report.curves["import"] == [(1.0, 4.0), (4.0, 24.0)]


def test_data_appear_under_their_name_once_complete(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "events.parquet"
    count = write_events(path, 20_000)
    table = pq.read_table(path)
    assert table.num_rows == count
    assert len(table["user_id"].unique()) == 500
    path.unlink()

    def fail(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(pq.ParquetWriter, "write_table", fail)
    with pytest.raises(KeyboardInterrupt):
        write_events(path, 20_000)
    assert not path.exists()


def test_bytes_written_are_counted(tmp_path: Path) -> None:
    found: dict[str, Any] = {}
    with measured(found), (tmp_path / "file").open("wb") as file:
        file.write(os.urandom(3_000_000))
        file.flush()
        os.fsync(file.fileno())
    assert found["written_mb"] == pytest.approx(3.0, abs=0.2)


def test_a_process_that_is_not_killed_is_no_measurement(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(size_steps, "KILLED_CODE", "print(1)")
    with pytest.raises(BenchFailed, match="ended with 0"):
        size_steps.run_killed(tmp_path / "store", tmp_path / "data", {})


def test_lost_events_are_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A process that claims more than the store holds, and is killed."""
    code = f"import os; print(10**9, flush=True); os.kill(os.getpid(), {int(signal.SIGKILL)})"
    monkeypatch.setattr(size_steps, "KILLED_CODE", code)
    with pytest.raises(BenchFailed, match=r"1,000,000,000 records .* and 0 are left"):
        size_steps.run_killed(tmp_path / "store", tmp_path / "data", {})


def test_every_step(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(size, "WARM_STEPS", ())
    # The process of a step is forked; those that it starts are new ones.
    monkeypatch.setattr(harness, "subprocess", ForkedModules)
    kept: list[int] = []
    report = size.run(
        [2_000], tmp_path, kept=lambda so_far: kept.append(len(so_far.curves)), progress=print
    )
    assert kept == list(range(1, len(size_steps.STEPS) + 1))  # after each step
    assert not any(tmp_path.iterdir())
    names = {one.name for one in report.figures}
    for step, what in {
        "import": "bytes written per byte stored",
        "start-untrained": "ready",
        "train": "peak memory",
        "start": "memory without mapped files",
        "start-killed": "ready",
        "serving": "event to changed list, p99",
        "merge": "event beside it, p99",
        "checkpoint": "event beside it, p99",
        "erasure": "event beside it, p99",
    }.items():
        assert f"{step}, 2,000 events: {what}" in names
    assert all(one.value >= 0 for one in report.figures)
