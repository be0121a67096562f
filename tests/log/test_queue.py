"""The writer's queue: order, groups, waiting and closing."""

import asyncio
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from concurrent.futures import TimeoutError as NotYet
from dataclasses import dataclass, field
from typing import Any

import pytest

from nearline.common.waiting import refuse_instead_of_waiting
from nearline.errors import Closed, Overloaded
from nearline.log.queue import JobQueue

WAIT = 120.0
SHORT = 0.05


@dataclass(frozen=True, eq=False)
class Work:
    name: str
    size: int = 1
    joins: bool = True
    bytes: int = 0
    future: "Future[Any]" = field(default_factory=Future)


@pytest.fixture
def pool() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(1) as pool:
        yield pool


def queue_of(
    *jobs: Work, capacity: int = 100, group_size: int = 10, capacity_bytes: int = 100
) -> JobQueue[Work]:
    queue = JobQueue[Work](capacity=capacity, group_size=group_size, capacity_bytes=capacity_bytes)
    for job in jobs:
        queue.put(job)
    return queue


def taken(queue: JobQueue[Work]) -> list[str]:
    return [job.name for job in queue.take()]


def test_adjacent_jobs_are_taken_together_in_order() -> None:
    queue = queue_of(Work("a"), Work("b"), Work("c"))
    assert taken(queue) == ["a", "b", "c"]


def test_a_group_has_a_maximum_size() -> None:
    queue = queue_of(Work("a", 4), Work("b", 5), Work("c", 50), Work("d"))
    assert taken(queue) == ["a", "b", "c"]
    assert taken(queue) == ["d"]


def test_a_job_that_does_not_join_is_a_group_of_its_own() -> None:
    queue = queue_of(Work("a"), Work("erase", joins=False), Work("erase", joins=False), Work("b"))
    assert [taken(queue) for _ in range(4)] == [["a"], ["erase"], ["erase"], ["b"]]


def test_put_waits_while_the_queue_is_full(pool: ThreadPoolExecutor) -> None:
    queue = queue_of(Work("a", 2), capacity=2)
    waiting = pool.submit(queue.put, Work("b"))
    with pytest.raises(NotYet):
        waiting.result(SHORT)
    assert taken(queue) == ["a"]
    waiting.result(WAIT)
    assert taken(queue) == ["b"]


def test_a_job_larger_than_the_queue_is_accepted() -> None:
    queue = queue_of(Work("a"), Work("large", 1_000), capacity=2)
    assert taken(queue) == ["a", "large"]


def test_take_waits_for_a_job(pool: ThreadPoolExecutor) -> None:
    queue = queue_of()
    waiting = pool.submit(taken, queue)
    with pytest.raises(NotYet):
        waiting.result(SHORT)
    queue.put(Work("a"))
    assert waiting.result(WAIT) == ["a"]


def test_taken_jobs_are_running_and_cancelled_ones_are_dropped() -> None:
    cancelled, kept = Work("cancelled"), Work("kept")
    queue = queue_of(cancelled, kept)
    assert cancelled.future.cancel()
    assert taken(queue) == ["kept"]
    assert not kept.future.cancel()


def test_a_queue_of_cancelled_jobs_counts_as_empty(pool: ThreadPoolExecutor) -> None:
    cancelled = Work("cancelled", joins=False)
    queue = queue_of(cancelled)
    cancelled.future.cancel()
    waiting = pool.submit(taken, queue)
    queue.put(Work("a"))
    assert waiting.result(WAIT) == ["a"]


def test_a_closed_queue_returns_queued_jobs_and_accepts_none(pool: ThreadPoolExecutor) -> None:
    queue = queue_of(Work("a", 2), capacity=2)
    waiting = pool.submit(queue.put, Work("b"))
    with pytest.raises(NotYet):
        waiting.result(SHORT)
    queue.close()
    with pytest.raises(Closed):
        waiting.result(WAIT)
    assert [taken(queue), taken(queue)] == [["a"], []]


def test_a_full_queue_raises_in_a_thread_of_a_request() -> None:
    """A request that waits would occupy a thread that others need."""

    async def request(queue: JobQueue[Work]) -> None:
        refuse_instead_of_waiting()
        await asyncio.to_thread(queue.put, Work("refused"))

    queue = queue_of(Work("a"), capacity=1)
    with pytest.raises(Overloaded):
        asyncio.run(request(queue))
    assert taken(queue) == ["a"]


def test_a_full_queue_raises_in_an_event_loop() -> None:
    """An event loop must not be blocked."""

    async def put(queue: JobQueue[Work], name: str) -> None:
        queue.put(Work(name))

    queue = queue_of(Work("a"), Work("b"), capacity=2, group_size=1)
    with pytest.raises(Overloaded, match=r"2 records wait.*try again"):
        asyncio.run(put(queue, "refused"))
    assert taken(queue) == ["a"]
    asyncio.run(put(queue, "c"))
    assert [taken(queue), taken(queue)] == [["b"], ["c"]]
    queue.close()
    with pytest.raises(Closed):
        asyncio.run(put(queue, "d"))


def test_the_queue_is_full_by_bytes_too() -> None:
    async def put(queue: JobQueue[Work], work: Work) -> None:
        queue.put(work)

    queue = queue_of(Work("large", bytes=300), group_size=1)
    assert queue.queued_bytes == 300
    with pytest.raises(Overloaded, match=r"1 records wait .*300 bytes"):
        asyncio.run(put(queue, Work("refused", bytes=1)))
    assert taken(queue) == ["large"]
    assert queue.queued_bytes == 0
    asyncio.run(put(queue, Work("later", bytes=1)))
    assert taken(queue) == ["later"]


def test_waiting_for_jobs_ends_after_the_timeout() -> None:
    assert queue_of().take(0.0) == []
