"""Steps of the measurement of growth that answer requests, and jobs with events beside them."""

import resource
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from threading import Event as Signal
from threading import Thread
from typing import TYPE_CHECKING, Any

import numpy as np

from nearline.bench.harness import BenchFailed
from nearline.bench.size_data import measured

if TYPE_CHECKING:
    from nearline.engine import Recommender

SINGLES, LISTS, LIST = 500, 100, 100
# Users that are erased without, and then with events beside them.
ERASED = 20
# New events before a merge or a checkpoint.
CHANGE = 10_000
# Events per second beside a job, and the least time for which they are sent.
RATE, LEAST_SECONDS = 100.0, 5.0
# Prime numbers that spread requests over the users.
SPREAD, FURTHER = 7_919, 104_729


def run_serving(store: Path, _data: Path, found: dict[str, Any]) -> None:
    """Single events, each with a list right after it, and lists of events."""
    from nearline.engine import Recommender
    from nearline.schema import Event

    with Recommender(store) as engine:
        users = max(engine.n_users - 1_000, 1)
        engine.recommend("user-1", k=10)
        stored, read, both = [], [], []
        used = time.process_time()
        for n in range(SINGLES):
            user = f"user-{n * SPREAD % users}"
            event = Event(user_id=user, item_id=f"item-{n}", timestamp=1.75e9 + n)
            before = engine.offset
            begun = time.perf_counter()
            engine.append_events([event]).result()
            between = time.perf_counter()
            answer = engine.recommend(user, k=10)
            ended = time.perf_counter()
            if answer.answer.offset < before + 1:
                raise BenchFailed("a list did not reflect the event before it")
            stored.append(between - begun)
            read.append(ended - between)
            both.append(ended - begun)
        found["event_and_list_cpu_ms"] = _ms((time.process_time() - used) / SINGLES)
        _add(found, "single_event", stored)
        _add(found, "fresh_read", read)
        _add(found, "event_to_list", both)
        lists = []
        with measured(found):
            for n in range(LISTS):
                events = [
                    Event(
                        user_id=f"user-{(n * LIST + at) * FURTHER % users}",
                        item_id=f"item-{at}",
                        timestamp=1.76e9 + n,
                    )
                    for at in range(LIST)
                ]
                begun = time.perf_counter()
                engine.append_events(events).result()
                lists.append(time.perf_counter() - begun)
        found["list_cpu_ms"] = _ms(found["cpu_s"] / LISTS)
        _add(found, "list_of_100", lists)


def run_job(kind: str) -> Callable[[Path, Path, dict[str, Any]], None]:
    """Return the step of a job of a kind: alone, and then with events beside it."""

    def run(store: Path, _data: Path, found: dict[str, Any]) -> None:
        from nearline.engine import Recommender

        with Recommender(store) as engine:
            engine.recommend("user-1", k=10)

            def work() -> None:
                job = engine.jobs.wait(getattr(engine, kind)().id)
                if job.state != "done":
                    raise BenchFailed(f"the {kind} ended as {job.state}: {job.message}")

            _change(engine, 0)
            before = _children()
            with measured(found):
                work()
            after = resource.getrusage(resource.RUSAGE_CHILDREN)
            found["worker_cpu_s"] = round(_children() - before, 3)
            found["worker_peak_mb"] = round(after.ru_maxrss / 1_024, 1)
            _change(engine, CHANGE)
            with events_beside(engine, found):
                work()

    return run


def run_erasure(store: Path, _data: Path, found: dict[str, Any]) -> None:
    """Erase users one by one: alone, and then with events beside them."""
    from nearline.engine import Recommender

    with Recommender(store) as engine:
        engine.recommend("user-1", k=10)
        users = max(engine.n_users - 1_000, 2 * ERASED)
        gone = [f"user-{(n + 1) * SPREAD % users}" for n in range(2 * ERASED)]
        taken = []

        def erase(users: list[str]) -> None:
            for user in users:
                begun = time.perf_counter()
                engine.forget(user).result()
                taken.append(time.perf_counter() - begun)

        with measured(found):
            erase(gone[:ERASED])
        found["erasure_cpu_ms"] = _ms(found["cpu_s"] / ERASED)
        _add(found, "erasure", taken)
        with events_beside(engine, found):
            erase(gone[ERASED:])
        engine.recommend("user-1", k=10)


@contextmanager
def events_beside(engine: "Recommender", found: dict[str, Any]) -> Iterator[None]:
    """Return a context in which single events are sent at a fixed rate.

    Their latency, from the time at which each was due, is added to `found`.
    """
    from nearline.schema import Event

    over, late, sent = Signal(), list[float](), list[Future[Any]]()
    users = max(engine.n_users - 1_000, 1)

    def note(due: float, _: Future[Any]) -> None:
        late.append(time.perf_counter() - due)

    def send() -> None:
        begun, n = time.perf_counter(), 0
        while not over.is_set() or time.perf_counter() - begun < LEAST_SECONDS:
            due = begun + n / RATE
            time.sleep(max(0.0, due - time.perf_counter()))
            user = f"user-{n * FURTHER % users}"
            event = Event(user_id=user, item_id=f"item-{n % 1_000}", timestamp=1.77e9 + n)
            # Later events are sent while this one waits.
            sent.append(engine.append_events([event]))
            sent[-1].add_done_callback(partial(note, due))
            n += 1

    sender = Thread(target=send, name="events")
    sender.start()
    try:
        yield
    finally:
        over.set()
        sender.join()
    for future in sent:
        future.result()  # raises what an append raised
    _add(found, "beside", late)
    found["beside_max_ms"] = _ms(max(late))


def _change(engine: "Recommender", first: int) -> None:
    from nearline.schema import Event

    events = [
        Event(user_id=f"user-{n % 700}", item_id=f"item-{n % 990}", timestamp=1.74e9 + first + n)
        for n in range(CHANGE)
    ]
    engine.append_events(events).result()
    engine.recommend("user-1", k=10)


def _children() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def _add(found: dict[str, Any], name: str, seconds: list[float]) -> None:
    found[f"{name}_ms"] = _ms(float(np.median(seconds)))
    found[f"{name}_p99_ms"] = _ms(float(np.percentile(seconds, 99)))


def _ms(seconds: float) -> float:
    return round(seconds * 1e3, 3)
