"""The wait of the event loop for futures of other threads."""

import asyncio
from concurrent.futures import Future
from threading import Thread

import pytest

from nearline.server.completions import Completions, completion


def in_thread(futures: list["Future[int]"]) -> Thread:
    def resolve() -> None:
        for number, future in enumerate(futures):
            if number == 1:
                future.set_exception(ValueError("second"))
            else:
                future.set_result(number)

    thread = Thread(target=resolve)
    thread.start()
    return thread


def test_results_and_errors_arrive_in_the_loop() -> None:
    async def run() -> list[object]:
        futures: list[Future[int]] = [Future() for _ in range(100)]
        waiting = [completion(future) for future in futures]
        thread = in_thread(futures)
        found = await asyncio.gather(*waiting, return_exceptions=True)
        thread.join()
        return list(found)

    first, second, *rest = asyncio.run(run())
    assert first == 0
    assert isinstance(second, ValueError)
    assert rest == list(range(2, 100))


def test_future_that_is_already_done() -> None:
    async def run() -> int:
        future: Future[int] = Future()
        future.set_result(7)
        return await completion(future)

    assert asyncio.run(run()) == 7


def test_cancelled_task_leaves_the_future_to_the_log() -> None:
    async def run() -> bool:
        future: Future[int] = Future()
        future.set_running_or_notify_cancel()
        task = asyncio.ensure_future(completion(future))
        await asyncio.sleep(0)
        task.cancel()
        await asyncio.sleep(0)
        in_thread([future]).join()
        await asyncio.sleep(0)
        return task.cancelled() and future.result() == 0

    assert asyncio.run(run())


def test_cancelled_future_cancels_the_waiter() -> None:
    async def run() -> None:
        future: Future[int] = Future()
        waiting = completion(future)
        future.cancel()
        await waiting

    with pytest.raises(asyncio.CancelledError):
        asyncio.run(run())


def test_each_loop_has_completions_of_its_own() -> None:
    async def run() -> int:
        future: Future[int] = Future()
        waiting = completion(future)
        in_thread([future]).join()
        return await waiting

    assert [asyncio.run(run()) for _ in range(3)] == [0, 0, 0]


def test_future_that_outlives_its_loop_is_resolved_without_error(
    caplog: pytest.LogCaptureFixture,
) -> None:
    loop = asyncio.new_event_loop()
    future: Future[int] = Future()
    Completions(loop).of(future)
    loop.close()
    future.set_result(1)
    assert future.result() == 1
    assert not caplog.records
