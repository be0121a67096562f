"""Jobs: one thread per kind, progress, cancellation and outcomes."""

from collections.abc import Iterator
from threading import Event

import pytest

from nearline.errors import Closed, InvalidInput, Overloaded, UnknownJob
from nearline.jobs.queue import Jobs, Outcome, Task, Work

WAIT = 120.0
SEEN = Outcome("done with it", {"n": 1})


class Ticks:
    """A clock that returns 1.0, 2.0, 3.0, ..."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        self.now += 1.0
        return self.now


@pytest.fixture
def jobs() -> Iterator[Jobs]:
    made = Jobs(Ticks(), queued=2, history=3)
    yield made
    made.close()


def blocked(started: Event, release: Event) -> Work:
    """Return work that sets `started` and waits for `release`."""

    def work(task: Task) -> Outcome:
        task.progress(1, 4, "half way")
        started.set()
        assert release.wait(WAIT)
        task.progress(4, 4, "all of it")
        return SEEN

    return work


def test_the_states_of_a_job(jobs: Jobs) -> None:
    started, release = Event(), Event()
    queued = jobs.submit("train", blocked(started, release))
    assert (queued.id, queued.kind, queued.state, queued.created) == (
        "train-1",
        "train",
        "queued",
        1,
    )
    assert started.wait(WAIT)
    running = jobs.get("train-1")
    assert (running.state, running.done, running.total, running.what) == (
        "running",
        1,
        4,
        "half way",
    )
    assert (running.started, running.finished) == (2, None)
    release.set()
    over = jobs.wait("train-1", WAIT)
    assert (over.state, over.message, over.result) == ("done", "done with it", {"n": 1})
    assert (over.done, over.finished) == (4, 3)


def test_one_job_of_each_kind_runs_at_a_time(jobs: Jobs) -> None:
    started, release = Event(), Event()
    jobs.submit("train", blocked(started, release))
    second = jobs.submit("train", lambda _: SEEN)
    assert started.wait(WAIT)
    other = jobs.submit("checkpoint", lambda _: SEEN)
    assert jobs.wait(other.id, WAIT).state == "done"
    assert jobs.get(second.id).state == "queued"
    release.set()
    assert jobs.wait(second.id, WAIT).state == "done"


def test_the_number_of_queued_jobs_is_limited(jobs: Jobs) -> None:
    started, release = Event(), Event()
    jobs.submit("train", blocked(started, release))
    assert started.wait(WAIT)
    jobs.submit("train", lambda _: SEEN)
    jobs.submit("train", lambda _: SEEN)
    with pytest.raises(Overloaded, match="2 jobs of kind 'train' are queued"):
        jobs.submit("train", lambda _: SEEN)
    jobs.submit("checkpoint", lambda _: SEEN)
    release.set()


def test_queued_and_running_jobs_are_cancelled(jobs: Jobs) -> None:
    started, release = Event(), Event()
    first = jobs.submit("train", blocked(started, release))
    second = jobs.submit("train", lambda _: SEEN)
    assert started.wait(WAIT)
    assert jobs.cancel(second.id).state == "cancelled"
    assert jobs.cancel(first.id).state == "running"
    release.set()
    assert jobs.wait(first.id, WAIT).state == "cancelled"
    assert jobs.get(second.id).started is None
    assert jobs.cancel(first.id).state == "cancelled"


@pytest.mark.parametrize("early", [True, False])
def test_the_cancel_callback_is_called(jobs: Jobs, early: bool) -> None:
    inside, cancelled, killed = Event(), Event(), Event()

    def work(task: Task) -> Outcome:
        if early:
            inside.set()
            assert cancelled.wait(WAIT)
        with task.cancelled_by(killed.set):
            inside.set()
            assert killed.wait(WAIT)
        task.progress(1, 1, "")
        raise AssertionError

    job = jobs.submit("train", work)
    assert inside.wait(WAIT)
    jobs.cancel(job.id)
    cancelled.set()
    assert jobs.wait(job.id, WAIT).state == "cancelled"


def test_failed_jobs_have_the_error_as_message(jobs: Jobs) -> None:
    def ours(_: Task) -> Outcome:
        raise InvalidInput("n is 7; 6 is allowed")

    def bug(_: Task) -> Outcome:
        return Outcome("", {"x": 1 / 0})

    assert jobs.wait(jobs.submit("a", ours).id, WAIT).message == "n is 7; 6 is allowed"
    failed = jobs.wait(jobs.submit("a", bug).id, WAIT)
    assert (failed.state, failed.message) == ("failed", "ZeroDivisionError: division by zero")
    refused = jobs.wait(jobs.submit("a", lambda _: Outcome("worse", {}, refused=True)).id, WAIT)
    assert (refused.state, refused.message) == ("refused", "worse")


def test_the_last_finished_jobs_are_listed_newest_first(jobs: Jobs) -> None:
    for _ in range(5):
        jobs.wait(jobs.submit("a", lambda _: SEEN).id, WAIT)
    assert [job.id for job in jobs.list()] == ["a-5", "a-4", "a-3"]
    with pytest.raises(UnknownJob, match="'a-1'"):
        jobs.get("a-1")


def test_closing_cancels_all_jobs_and_accepts_no_more(jobs: Jobs) -> None:
    killed, inside = Event(), Event()

    def work(task: Task) -> Outcome:
        with task.cancelled_by(killed.set):
            inside.set()
            assert killed.wait(WAIT)
        task.progress(1, 1, "")
        return SEEN

    first, second = jobs.submit("a", work), jobs.submit("a", lambda _: SEEN)
    assert inside.wait(WAIT)
    jobs.close()
    jobs.close()
    assert {jobs.get(job.id).state for job in (first, second)} == {"cancelled"}
    with pytest.raises(Closed):
        jobs.submit("a", lambda _: SEEN)
