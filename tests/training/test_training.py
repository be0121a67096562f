"""Background training in real processes: promotion, refusal, cancellation, crashes, rollback."""

import random
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from multiprocessing.connection import Connection
from pathlib import Path

import psutil
import pyarrow as pa
import pytest
from tests.deployment.test_live import counted, expected
from tests.forking import forks
from tests.training.test_acceptance import visits

import nearline as nl
from nearline.config import Config
from nearline.errors import Closed, InvalidInput, NotTrained, Overloaded, UnknownSnapshot
from nearline.jobs.queue import Job, Outcome, Task
from nearline.kernels.chunks import available_threads
from nearline.models.capabilities import LearnsOnline
from nearline.schema import RecommendationRequest
from nearline.state import load_checkpoint
from nearline.testing.inspector import inspect

NOW = 1_000_000.0
WAIT = 120.0
SHORT = {"search": {"evaluations": 3}}
# A training that takes minutes, so that it runs until it is cancelled.
SLOW = {"epochs": 10_000, "factors": 1_024, "hardest_of": 1_000}
ENDLESS = {"model": "bpr", "settings": SLOW}


def clock() -> float:
    return NOW


@pytest.fixture
def store(tmp_path: Path) -> Path:
    return tmp_path / "shop"


@pytest.fixture
def rec(store: Path) -> Iterator[nl.Recommender]:
    with nl.Recommender(store, clock=clock) as engine:
        yield engine.fit(visits(40))


def until(found: Callable[[], object]) -> None:
    deadline = time.monotonic() + WAIT
    while not found():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def workers(parent: int | None = None) -> list[psutil.Process]:
    children = psutil.Process(parent).children()
    return [child for child in children if "nearline.jobs.worker" in " ".join(child.cmdline())]


def finished(rec: nl.Recommender, job: Job) -> Job:
    until(lambda: rec.jobs.get(job.id).finished is not None)
    return rec.jobs.get(job.id)


def merges(rec: nl.Recommender) -> list[Job]:
    """Return the merges so far, oldest first."""
    return [job for job in reversed(rec.jobs.list()) if job.kind == "merge"]


def endless(rec: nl.Recommender) -> Job:
    """Start a training that does not end by itself; return once it is running."""
    job = rec.train(**ENDLESS)  # type: ignore[arg-type]
    until(lambda: rec.jobs.get(job.id).what == "epochs")
    return job


def answers_until_over(
    rec: nl.Recommender, request: RecommendationRequest, job: Job
) -> list[nl.Answer]:
    """Ask again and again until the job is finished, and return all answers."""
    answers = []
    while rec.jobs.get(job.id).finished is None:
        answers.append(rec.answer(request))
        # On a busy machine, asking without a pause leaves no time to the job, which is niced.
        time.sleep(0.01)
    return answers


@pytest.mark.usefixtures("forked_jobs")
def test_reads_and_writes_continue_during_training_and_each_answer_uses_one_model(
    rec: nl.Recommender,
) -> None:
    first = rec.model_id
    request = RecommendationRequest(user_id="p0", k=3, exclude_seen=False)
    before = rec.answer(request)
    with ThreadPoolExecutor(1) as pool:
        job = rec.train(settings=SHORT)
        reading = pool.submit(answers_until_over, rec, request, job)
        rec.observe("new", "red-0")
        rec.put_item("red-9", text="red")
        assert rec.jobs.wait(job.id, WAIT).state == "done"
        answers = reading.result()
    after = rec.answer(request)
    assert rec.model_id != first
    assert {answer.model for answer in answers} <= {first, rec.model_id}
    lists = {answer.model: [line.item_id for line in answer.items] for answer in [before, after]}
    for answer in answers:
        assert [line.item_id for line in answer.items] == lists[answer.model]
    # The new model knows the events that arrived during training.
    assert rec.recommend("new", k=1)[0].item_id == "red-1"
    assert rec.versions.list()[-1].offset <= rec.offset


@pytest.mark.usefixtures("forked_jobs")
def test_a_refused_model_can_be_promoted_manually_and_rolled_back(
    rec: nl.Recommender, store: Path
) -> None:
    first = rec.model_id
    job = rec.jobs.wait(rec.train(model="popularity").id, WAIT)
    assert (job.state, rec.model_id) == ("refused", first)
    refused = str(job.result["snapshot_id"])
    assert [(v.id, v.serving, v.promoted) for v in rec.versions.list()] == [
        (first, True, True),
        (refused, False, False),
    ]
    assert rec.versions.promote(refused).model == "popularity"
    assert rec.model_id == refused
    rec.close()
    with nl.Recommender(store, clock=clock) as again:
        assert again.model_id == refused
        assert again.versions.rollback().id == first
        assert again.model_id == first
        assert again.recommend("p0", k=1, exclude_seen=False)[0].tier == "personal"
        with pytest.raises(NotTrained, match="train again"):
            again.versions.rollback()
        with pytest.raises(UnknownSnapshot):
            again.versions.promote("0" * 16)
        with pytest.raises(InvalidInput):
            again.versions.promote("../..")
        assert again.model_id == first


def test_a_snapshot_with_another_order_of_items_is_not_promoted(store: Path) -> None:
    with nl.Recommender(store, clock=clock) as rec:
        rec.observe("u", "only-u-knew-it")
        rec.observe("v", "other")
        rec.fit()
        numbered = rec.model_id
        rec.forget("u").result()
    # Without snapshot and checkpoint, items of the erased user only get no index.
    (store / "state.checkpoint").unlink()
    (store / "snapshots").rename(store / "kept")
    with nl.Recommender(store, clock=clock) as rec:
        (store / "kept").rename(store / "snapshots")
        with pytest.raises(InvalidInput, match="has its items in another order"):
            rec.versions.promote(numbered)
        assert rec.model_id == "untrained"


def test_the_worker_has_low_priority_and_is_killed_on_cancellation(rec: nl.Recommender) -> None:
    first = rec.model_id
    job = endless(rec)
    (worker,) = workers()
    assert worker.nice() == min(psutil.Process().nice() + 10, 19)  # the lowest priority is 19
    assert worker.environ()["OMP_NUM_THREADS"] == str(max(1, available_threads() // 2))
    rec.jobs.cancel(job.id)
    assert rec.jobs.wait(job.id, WAIT).state == "cancelled"
    assert not workers()
    assert rec.jobs.wait(rec.train(settings=SHORT).id, WAIT).state == "done"
    assert rec.model_id != first


def test_a_job_fails_if_its_process_dies(rec: nl.Recommender) -> None:
    first = rec.model_id
    job = endless(rec)
    workers()[0].kill()
    over = rec.jobs.wait(job.id, WAIT)
    assert over.state == "failed"
    assert "exit code -9 before it was done; the active model is unchanged" in over.message
    assert rec.model_id == first


@pytest.mark.usefixtures("forked_jobs")
def test_errors_of_trainings_that_cannot_succeed(store: Path) -> None:
    with nl.Recommender(store, clock=clock) as rec:
        job = rec.jobs.wait(rec.train().id, WAIT)
        assert (job.state, rec.model_id) == ("failed", "untrained")
        assert "has no events" in job.message
        with pytest.raises(InvalidInput, match="no model 'nothing'"):
            rec.train(model="nothing")
        with pytest.raises(InvalidInput, match="learns ratings"):
            rec.train(model="svd")
    with pytest.raises(Closed):
        rec.train()


def test_closing_cancels_a_training(store: Path) -> None:
    with nl.Recommender(store, clock=clock) as rec:
        rec.fit(visits(40))
        endless(rec)
    assert not workers()


def serve_and_train(store: Path, told: Connection) -> None:
    rec = nl.Recommender(store, clock=clock)
    endless(rec)
    told.send(workers()[0].pid)
    told.recv()


def promote_until_killed(store: Path, told: Connection) -> None:
    with nl.Recommender(store, clock=clock) as rec:
        ids = [version.id for version in rec.versions.list()]
        for number in range(1_000_000):
            rec.versions.promote(ids[number % 2])
            told.send(rec.model_id)


def test_a_training_does_not_outlive_its_server(rec: nl.Recommender, store: Path) -> None:
    rec.close()
    context = forks()
    ours, theirs = context.Pipe()
    process = context.Process(target=serve_and_train, args=(store, theirs))
    process.start()
    assert ours.poll(WAIT)
    worker = psutil.Process(ours.recv())
    process.kill()
    process.join()
    worker.wait(WAIT)
    with nl.Recommender(store, clock=clock) as again:
        assert again.model_id == rec.model_id


def test_a_process_killed_during_a_promotion_leaves_a_valid_store(
    rec: nl.Recommender, store: Path
) -> None:
    rec.jobs.wait(rec.train(model="popularity").id, WAIT)
    ids = {version.id for version in rec.versions.list()}
    assert len(ids) == 2
    rec.close()
    context, chance = forks(), random.Random(0)
    for _ in range(8):
        ours, theirs = context.Pipe(duplex=False)
        process = context.Process(target=promote_until_killed, args=(store, theirs))
        process.start()
        theirs.close()
        assert ours.poll(WAIT)
        time.sleep(chance.uniform(0.0, 0.05))
        process.kill()
        process.join()
        ours.close()
        with nl.Recommender(store, clock=clock) as again:
            assert again.model_id in ids
            assert {version.id for version in again.versions.list()} == ids
            assert len(again.recommend("p0", k=3)) == 3


@pytest.mark.usefixtures("forked_jobs")
def test_a_checkpoint_is_written_in_the_background(store: Path) -> None:
    config = nl.Config(checkpoint_events=5, checkpoint_seconds=1e9)
    path, now = store / "state.checkpoint", [NOW]
    with nl.Recommender(store, config=config, clock=lambda: now[0]) as rec:
        for number in range(6):
            assert not path.exists()
            now[0] += 5.0
            rec.observe("u", f"i{number}")
        until(path.exists)
        job = rec.jobs.wait(rec.checkpoint().id, WAIT)
        assert job.result == {"offset": 6}
        state = load_checkpoint(path, config.state, erasures=0, end=6)
        assert state is not None
        assert (state.offset, len(state.items)) == (6, 6)
        rec.forget("u").result()
        assert not path.exists()
    with nl.Recommender(clock=clock) as rec, pytest.raises(InvalidInput, match="in memory"):
        rec.checkpoint()


@pytest.mark.usefixtures("forked_jobs")
def test_a_checkpoint_is_written_after_some_time(store: Path) -> None:
    now = [NOW]
    config = nl.Config(checkpoint_seconds=60.0)
    with nl.Recommender(store, config=config, clock=lambda: now[0]) as rec:
        rec.observe("u", "i")
        now[0] += 60
        rec.observe("u", "j")
        until(lambda: [job.kind for job in rec.jobs.list()] == ["checkpoint"])
        assert finished(rec, rec.jobs.list()[0]).result == {"offset": 2}


@pytest.mark.usefixtures("forked_jobs")
def test_a_merge_keeps_what_was_learned_online(tmp_path: Path) -> None:
    with nl.Recommender(tmp_path / "shop") as rec:
        for user in "abc":
            rec.observe(user, "pot", timestamp=1.0)
            rec.observe(user, "tea", timestamp=2.0)
        rec.fit()
        first = rec.model_id
        for user in "de":
            rec.observe(user, "pot", timestamp=3.0)
            rec.observe(user, "mug", timestamp=4.0)
        rec.forget("e").result()
        rec.observe("me", "pot", timestamp=5.0)
        lines = [(line.item_id, line.score) for line in rec.recommend("me")]
        job = finished(rec, rec.merge())
        assert (job.state, rec.model_id == first) == ("done", False)
        assert [(line.item_id, line.score) for line in rec.recommend("me")] == lines
        # The merged snapshot replaced the first one in the history.
        with pytest.raises(NotTrained):
            rec.versions.rollback()
        assert counted(inspect(rec).model) == expected(rec)
    with nl.Recommender(tmp_path / "shop") as rec:
        assert [(line.item_id, line.score) for line in rec.recommend("me")] == lines


@pytest.mark.usefixtures("forked_jobs")
def test_a_merge_is_queued_after_merge_events_records(tmp_path: Path) -> None:
    seconds = iter(range(0, 1_000_000, 10))
    config = Config(merge_events=5)
    with nl.Recommender(tmp_path / "shop", config=config, clock=lambda: NOW + next(seconds)) as rec:
        rec.observe("a", "pot", timestamp=1.0)
        rec.fit()
        first = rec.model_id
        for time in range(7):
            rec.observe("b", f"i{time}", timestamp=float(time))
        until(lambda: merges(rec))
        assert finished(rec, merges(rec)[0]).state == "done"
        assert rec.model_id != first


@pytest.mark.usefixtures("forked_jobs")
def test_what_an_untrained_model_learned_is_merged_into_a_first_snapshot(tmp_path: Path) -> None:
    """Its memory is then that of the snapshot, as after a training, and lists stay the same."""
    with nl.Recommender(tmp_path / "shop") as rec:
        with pytest.raises(InvalidInput, match="no events to merge"):
            rec.merge()
        rec.put_item("cup", title="blue cup")
        rec.put_item("mug", title="blue mug")
        for user in "abc":
            rec.observe(user, "pot", timestamp=1.0)
            rec.observe(user, "tea", timestamp=2.0)
        rec.observe("me", "pot", timestamp=3.0)
        rec.observe("me", "cup", timestamp=4.0)
        lines = [(line.item_id, line.score) for line in rec.recommend("me")]
        assert [item for item, _ in lines] == ["tea", "mug"]
        assert rec.model_id == "untrained"
        model = inspect(rec).model
        assert isinstance(model, LearnsOnline)
        # Four pairs (32 bytes for a change, 16 for an edge) in two relations; an edge of texts in
        # both directions.
        assert model.learned_bytes == 2 * 4 * (32 + 16) + 2 * 16
        assert finished(rec, rec.merge()).state == "done"
        assert [version.id for version in rec.versions.list()] == [rec.model_id]
        model = inspect(rec).model
        assert isinstance(model, LearnsOnline)
        assert model.learned_bytes == 0
        assert [(line.item_id, line.score) for line in rec.recommend("me")] == lines
        assert counted(model) == expected(rec)
    with nl.Recommender(tmp_path / "shop") as rec:
        assert [(line.item_id, line.score) for line in rec.recommend("me")] == lines
        rec.fit()
        assert len(rec.versions.list()) == 2


@pytest.mark.usefixtures("forked_jobs")
def test_an_untrained_model_is_merged_after_merge_events_records(tmp_path: Path) -> None:
    seconds = iter(range(0, 1_000_000, 10))
    config = Config(merge_events=5)
    with nl.Recommender(tmp_path / "shop", config=config, clock=lambda: NOW + next(seconds)) as rec:
        for time in range(7):
            rec.observe("b", f"i{time}", timestamp=float(time))
        until(lambda: merges(rec))
        assert finished(rec, merges(rec)[0]).state == "done"
        assert rec.model_id != "untrained"


def test_the_next_answer_reflects_an_import(tmp_path: Path) -> None:
    items = ["pot", "tea", "pot", "tea", "pot"]
    table = pa.table({"user_id": list("aabbc"), "item_id": items, "timestamp": [1, 2, 1, 2, 1]})
    with nl.Recommender(tmp_path / "shop") as rec:
        rec.add(table)
        rec.observe("d", "pot")
        rec.observe("d", "mug")
        assert [line.item_id for line in rec.recommend("c", 2)] == ["tea", "mug"]
        assert {line.tier for line in rec.recommend("c", 2)} == {"personal"}
        assert counted(inspect(rec).model) == expected(rec)


@pytest.mark.usefixtures("forked_jobs")
def test_a_merge_is_queued_again_after_a_cancelled_one(tmp_path: Path) -> None:
    seconds = iter(range(0, 1_000_000, 10))
    config = Config(merge_events=5)
    with nl.Recommender(tmp_path / "shop", config=config, clock=lambda: NOW + next(seconds)) as rec:
        rec.observe("a", "pot", timestamp=1.0)
        rec.fit()
        first = rec.merge()
        rec.jobs.cancel(first.id)
        assert finished(rec, first).state == "cancelled"
        for time in range(7):
            rec.observe("b", f"i{time}", timestamp=float(time))
        until(lambda: len(merges(rec)) == 2)
        assert finished(rec, merges(rec)[1]).state == "done"


@pytest.mark.usefixtures("forked_jobs")
def test_a_full_job_queue_refuses_no_event(store: Path) -> None:
    now, gate = [NOW], threading.Event()
    config = nl.Config(checkpoint_seconds=60.0)

    def wait(_task: Task) -> Outcome:
        assert gate.wait(WAIT)
        return Outcome("waited", {})

    with nl.Recommender(store, config=config, clock=lambda: now[0]) as rec:
        rec.observe("u", "i")
        jobs = [rec.jobs.submit("checkpoint", wait)]
        until(lambda: rec.jobs.get(jobs[0].id).state == "running")
        jobs += [rec.jobs.submit("checkpoint", wait) for _ in range(10)]
        with pytest.raises(Overloaded):
            rec.checkpoint()
        now[0] += 1_000.0  # one is due
        assert rec.observe("u", "j").offset == 2
        gate.set()


def test_requests_are_answered_during_an_import(tmp_path: Path) -> None:
    n = 60_000
    table = pa.table(
        {
            "user_id": [f"u{at % 4_000}" for at in range(n)],
            "item_id": [f"i{at * 7 % 997}" for at in range(n)],
            "timestamp": [float(at) for at in range(n)],
        }
    )
    with nl.Recommender(tmp_path / "shop") as rec, ThreadPoolExecutor(1) as beside:
        rec.fit(visits(40))
        served = [inspect(rec)]
        importing = beside.submit(rec.add, table)
        answered = 0
        while not importing.done():
            assert len(rec.recommend("p0", 3)) == 3
            answered += 1
            served += [inspect(rec)] if inspect(rec) is not served[-1] else []
        assert answered > 0
        rec.recommend("p0", 3)
        served += [inspect(rec)] if inspect(rec) is not served[-1] else []
        # One more model, which learned the whole import at once.
        assert len(served) <= 3
        assert counted(inspect(rec).model) == expected(rec)
