"""The scheduler: when each kind of job is due, when none is queued, and how the thread ends."""

import logging
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest

import nearline as nl
from nearline.config import Config
from nearline.deployment.active import ActiveDeployment
from nearline.errors import InvalidInput
from nearline.jobs import checkpoints, merging
from nearline.jobs.checkpoints import Checkpoints
from nearline.jobs.embedding import REST_SECONDS, SETTLE_SECONDS, Embedding
from nearline.jobs.merging import Merging
from nearline.jobs.queue import Job, Jobs, Outcome, Task
from nearline.jobs.scheduler import LONGEST_SECONDS, NEVER, RETRY_SECONDS, Scheduler

WAIT = 120.0
CONFIG = Config(checkpoint_events=100, checkpoint_seconds=300.0, merge_events=50)


class SetClock:
    """A clock that a test sets."""

    def __init__(self) -> None:
        self.now = 1_000_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> SetClock:
    return SetClock()


@pytest.fixture
def jobs(clock: SetClock) -> Iterator[Jobs]:
    made = Jobs(clock)
    yield made
    made.close()


@pytest.fixture
def memory(clock: SetClock) -> Iterator[ActiveDeployment]:
    made = ActiveDeployment(None, CONFIG, clock)
    yield made
    made.close()


@pytest.fixture
def store(tmp_path: Path, clock: SetClock) -> Iterator[ActiveDeployment]:
    made = ActiveDeployment(tmp_path / "shop", CONFIG, clock)
    yield made
    made.close()


def observe(current: ActiveDeployment, n: int = 1) -> None:
    event = nl.Event(user_id="u", item_id="i", timestamp=1.0)
    current.deployment.log.append([event] * n).result()


def until(found: Callable[[], object]) -> None:
    deadline = time.monotonic() + WAIT
    while not found():
        assert time.monotonic() < deadline
        time.sleep(0.005)


class Work:
    """Recurring work that is due when a test sets it, and waits until it is released."""

    def __init__(self, jobs: Jobs, kind: str = "work", remaining: float = NEVER) -> None:
        self.kind, self.left = kind, remaining
        self.release = threading.Event()
        self.submitted: list[Job] = []
        self.looks = 0
        self._jobs = jobs

    def remaining(self, now: float) -> float:
        self.looks += 1
        return self.left

    def submit(self) -> Job:
        def wait(_task: Task) -> Outcome:
            assert self.release.wait(WAIT)
            return Outcome("done", {})

        job = self._jobs.submit(self.kind, wait)
        self.submitted.append(job)
        return job


# When a job is due


@pytest.mark.parametrize(
    ("records", "seconds", "left"),
    [
        (0, 0.0, NEVER),
        (0, 1e9, NEVER),  # nothing to write, however long ago the last checkpoint was
        (1, 0.0, 300.0),
        (1, 299.0, 1.0),
        (1, 300.0, 0.0),
        (99, 20.0, 280.0),
        (100, 0.0, 20.0),  # many records, but not one checkpoint right after the other
        (100, 19.5, 0.5),
        (100, 20.0, 0.0),
        (10_000, 25.0, -5.0),
    ],
)
def test_a_checkpoint_is_due_after_many_records_or_after_some_time(
    records: int, seconds: float, left: float
) -> None:
    assert checkpoints.seconds_left(CONFIG, records, seconds) == left


def test_a_short_interval_of_checkpoints_is_not_lengthened_by_many_records() -> None:
    config = Config(checkpoint_events=100, checkpoint_seconds=5.0)
    assert checkpoints.seconds_left(config, 1_000, 5.0) == 0.0


@pytest.mark.parametrize(
    ("records", "seconds", "erased", "left"),
    [
        (0, 1e9, False, NEVER),
        (49, 1e9, False, NEVER),
        (50, 0.0, False, 30.0),
        (50, 30.0, False, 0.0),
        (0, 0.0, True, 300.0),  # counts of an erased user must not stay in a file for long
        (0, 300.0, True, 0.0),
        (50, 30.0, True, 0.0),
    ],
)
def test_a_merge_is_due_after_many_records_or_after_an_erasure(
    records: int, seconds: float, erased: bool, left: float
) -> None:
    assert merging.seconds_left(CONFIG, records, seconds, erased=erased) == left


@pytest.mark.parametrize(
    ("learned", "left"), [(149_999, NEVER), (150_000, 30.0), (299_999, 30.0), (300_000, 5.0)]
)
def test_a_merge_is_due_earlier_if_events_need_much_memory(learned: int, left: float) -> None:
    assert merging.seconds_left(CONFIG, 10, 0.0, erased=False, learned=learned) == left


def test_a_store_is_checkpointed_by_the_offset_of_its_log(
    store: ActiveDeployment, jobs: Jobs, clock: SetClock
) -> None:
    work = Checkpoints(store, jobs)
    assert work.remaining(store.elapsed()) == NEVER
    observe(store, 3)
    assert work.remaining(store.elapsed()) == 300.0
    clock.now += 290.0
    assert work.remaining(store.elapsed()) == 10.0
    observe(store, 97)
    assert work.remaining(store.elapsed()) == -270.0
    assert jobs.wait(work.submit().id, WAIT).result == {"offset": 100}
    assert work.remaining(store.elapsed()) == NEVER
    observe(store)
    assert work.remaining(store.elapsed()) == 300.0


def test_a_clock_that_is_set_back_does_not_stop_checkpoints(
    store: ActiveDeployment, jobs: Jobs, clock: SetClock
) -> None:
    work = Checkpoints(store, jobs)
    clock.now += 2e9
    observe(store)
    assert jobs.wait(work.submit().id, WAIT).state == "done"
    clock.now -= 2e9
    observe(store, 100)
    assert work.remaining(store.elapsed()) == 20.0
    clock.now += 20.0
    assert work.remaining(store.elapsed()) == 0.0


def test_a_checkpoint_that_failed_is_due_again(
    store: ActiveDeployment, jobs: Jobs, clock: SetClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise OSError("disk full")

    work = Checkpoints(store, jobs)
    observe(store, 100)
    monkeypatch.setattr("nearline.jobs.worker.checkpoint", fail)
    assert jobs.wait(work.submit().id, WAIT).state == "failed"
    assert work.remaining(store.elapsed()) == 20.0


def test_in_memory_there_is_neither_a_checkpoint_nor_a_merge(
    memory: ActiveDeployment, jobs: Jobs
) -> None:
    observe(memory, 1_000)
    assert Checkpoints(memory, jobs).remaining(1e9) == NEVER
    assert Merging(memory, jobs).remaining(1e9) == NEVER
    assert Embedding(memory, jobs).remaining(1e9) == NEVER


def test_missed_texts_are_due_at_the_second_check(
    memory: ActiveDeployment, jobs: Jobs, monkeypatch: pytest.MonkeyPatch
) -> None:
    texts = SimpleNamespace(missed=0, missing=lambda _: [])
    monkeypatch.setattr(memory, "texts", texts)
    work = Embedding(memory, jobs)
    assert work.remaining(0.0) == NEVER
    texts.missed = 2
    assert work.remaining(0.0) == SETTLE_SECONDS  # their items may not be in the log yet
    assert work.remaining(0.1) <= 0.0
    assert jobs.wait(work.submit().id, WAIT).result == {"items": 0}
    assert work.remaining(1e9) == NEVER
    texts.missed = 3
    assert work.remaining(1.0) == REST_SECONDS - 1.0
    assert work.remaining(REST_SECONDS) == 0.0
    monkeypatch.setattr(memory, "texts", None)


# The scheduler


def test_due_jobs_are_queued_and_the_time_of_the_next_check_is_returned(
    memory: ActiveDeployment, jobs: Jobs
) -> None:
    due, later = Work(jobs, "due", 0.0), Work(jobs, "later", 2.0)
    scheduler = Scheduler(memory, jobs, (due, later))
    assert scheduler.run_due() == 2.0
    assert (len(due.submitted), len(later.submitted)) == (1, 0)
    due.release.set()


def test_the_scheduler_checks_at_least_once_a_minute(memory: ActiveDeployment, jobs: Jobs) -> None:
    assert Scheduler(memory, jobs, (Work(jobs),)).run_due() == LONGEST_SECONDS


def test_a_kind_that_is_queued_or_running_is_not_queued_again(
    memory: ActiveDeployment, jobs: Jobs
) -> None:
    work = Work(jobs, remaining=-1.0)
    scheduler = Scheduler(memory, jobs, (work,))
    scheduler.run_due()
    scheduler.run_due()
    assert len(work.submitted) == 1
    work.release.set()
    jobs.wait(work.submitted[0].id, WAIT)
    scheduler.run_due()
    assert len(work.submitted) == 2


def test_no_job_starts_during_foreground_work(memory: ActiveDeployment, jobs: Jobs) -> None:
    work = Work(jobs, remaining=-1.0)
    scheduler = Scheduler(memory, jobs, (work,))
    with memory.foreground():
        with memory.foreground():
            scheduler.run_due()
        scheduler.run_due()
        assert work.submitted == []
        memory.changed.clear()
    assert memory.changed.is_set()  # which wakes the thread
    scheduler.run_due()
    assert len(work.submitted) == 1
    work.release.set()


class Refused(Work):
    """Work that cannot be queued."""

    def __init__(self, jobs: Jobs, error: Exception) -> None:
        super().__init__(jobs, "refused", 0.0)
        self._error = error

    def submit(self) -> Job:
        raise self._error


@pytest.mark.parametrize("error", [InvalidInput("no snapshot"), ZeroDivisionError("a bug")])
def test_a_job_that_cannot_be_queued_is_logged_and_retried(
    memory: ActiveDeployment, jobs: Jobs, caplog: pytest.LogCaptureFixture, error: Exception
) -> None:
    other = Work(jobs, "other", 0.0)
    scheduler = Scheduler(memory, jobs, (Refused(jobs, error), other))
    with caplog.at_level(logging.WARNING):
        assert scheduler.run_due() == RETRY_SECONDS
    assert "a refused job is due and could not be queued" in caplog.text
    assert str(error) in caplog.text
    assert len(other.submitted) == 1
    other.release.set()


def test_the_thread_wakes_when_the_log_changes_and_ends_when_it_is_stopped(
    store: ActiveDeployment, jobs: Jobs
) -> None:
    work = Work(jobs)
    scheduler = Scheduler(store, jobs, (work,)).start()
    until(lambda: work.looks)
    work.left = 0.0
    observe(store)
    until(lambda: work.submitted)
    scheduler.stop()
    scheduler.stop()
    work.release.set()
    jobs.wait(work.submitted[0].id, WAIT)
    looks = work.looks
    observe(store)
    assert (work.looks, len(work.submitted)) == (looks, 1)
    assert "nearline-scheduler" not in {thread.name for thread in threading.enumerate()}


def test_an_erasure_wakes_the_thread(store: ActiveDeployment) -> None:
    observe(store)
    store.changed.clear()
    store.deployment.log.erase("u").result()
    assert store.changed.is_set()


def test_in_memory_without_an_encoder_there_is_no_thread() -> None:
    with nl.Recommender():
        assert "nearline-scheduler" not in {thread.name for thread in threading.enumerate()}


def test_no_job_is_queued_after_closing(tmp_path: Path) -> None:
    config = Config(checkpoint_seconds=0.0)
    rec = nl.Recommender(tmp_path / "shop", config=config)
    rec.observe("u", "i")
    rec.close()
    assert all(job.finished is not None for job in rec.jobs.list())
    assert "nearline-scheduler" not in {thread.name for thread in threading.enumerate()}
