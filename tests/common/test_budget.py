"""The memory budget: its default, its shares, and processes that exceed theirs."""

import os
from pathlib import Path

import pytest

from nearline.common import budget
from nearline.common.budget import MemoryBudget, divided, machine_memory, process_memory
from nearline.config import Config
from nearline.errors import InvalidInput, WorkerFailed
from nearline.jobs import worker
from nearline.jobs.queue import Task
from nearline.log import SQLiteLog, url_of
from nearline.server.limits import Limits
from nearline.state import StateConfig

MB = 1_000_000


def test_a_small_budget_is_divided_in_fractions() -> None:
    assert divided(1_600 * MB) == MemoryBudget(
        100 * MB, 50 * MB, 100 * MB, 100 * MB, 100 * MB, 800 * MB
    )


def test_the_parts_of_a_large_budget_have_maxima() -> None:
    expected = MemoryBudget(256 * MB, 128 * MB, 256 * MB, 256 * MB, 256 * MB, 32_000 * MB)
    assert divided(64_000 * MB) == expected


@pytest.mark.parametrize(
    ("content", "expected"), [("600000000\n", 600 * MB), ("max\n", 8_000 * MB)]
)
def test_the_default_is_half_of_the_memory_of_machine_or_container(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: str, expected: int
) -> None:
    sizes = {"SC_PHYS_PAGES": 2_000_000, "SC_PAGE_SIZE": 4_000}
    monkeypatch.setattr(os, "sysconf", lambda name: sizes[name])
    path = tmp_path / "memory.max"
    path.write_text(content)
    monkeypatch.setattr(budget, "CGROUP_FILES", (tmp_path / "missing", path))
    assert machine_memory() == expected
    assert divided(None).job == expected // 4


def test_explicit_limits_override_the_shares() -> None:
    limits = Limits(memory=1_600 * MB, answers_bytes=7, cache_bytes=0)
    assert limits.budget == MemoryBudget(100 * MB, 7, 0, 100 * MB, 100 * MB, 800 * MB)


def test_one_body_always_fits() -> None:
    assert Limits(memory=128 * MB).budget.bodies == 10 * MB
    assert Limits(memory=128 * MB, bodies_bytes=5).budget.bodies == 5


@pytest.mark.parametrize("memory", [127_999_999, 10**16, -1])
@pytest.mark.parametrize("kind", [Limits, Config])
def test_both_bounds_of_the_budget_are_checked(
    kind: type[Limits] | type[Config], memory: int
) -> None:
    with pytest.raises(InvalidInput, match=r"at least 1.28e\+08 and at most 1e\+15"):
        kind(memory=memory)


def test_sizes_cannot_be_negative() -> None:
    with pytest.raises(InvalidInput, match="answers_bytes is -1"):
        Limits(answers_bytes=-1)


def test_a_job_that_needs_more_memory_than_its_share_is_ended(tmp_path: Path) -> None:
    path = tmp_path / "log.db"
    SQLiteLog(path).close()
    request = worker.ToCheckpoint(
        log=url_of(path), checkpoint=str(tmp_path / "c"), config=StateConfig(), item_ids=[]
    )
    with pytest.raises(WorkerFailed, match="needed more than 1 bytes of memory"):
        worker.checkpoint(request, Task(lambda *_: None), 1)
    assert worker.checkpoint(request, Task(lambda *_: None), 10**12).offset == 0


def test_the_memory_of_an_unknown_process_is_zero() -> None:
    assert process_memory(2**30) == 0
    assert process_memory(os.getpid()) > MB
