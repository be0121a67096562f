"""A server of several processes, started as from the command line."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import httpx
import pytest
from tests.server.serving import START_SECONDS, wait_until_ready

from nearline.server.worker_metrics import (
    NO_COUNTERS,
    RequestCounts,
    WorkerCounters,
    Workers,
    added,
)
from nearline.testing.servers.ports import free_port

EVENT = {"user_id": "u", "item_id": "i0"}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx.Client]:
    """Two readers and a writer, with some events."""
    port, folder = free_port(), tmp_path_factory.mktemp("workers")
    given = ("serve", "--store", str(folder / "store"), "--port", str(port), "--workers", "2")
    output = folder / "output.txt"
    with (
        output.open("wb") as sink,
        subprocess.Popen(
            [sys.executable, "-m", "nearline.cli", *given],
            stdout=sink,
            stderr=sink,
            env={**os.environ, "PYTHONWARNINGS": "error"},
        ) as process,
    ):
        limits = httpx.Limits(max_keepalive_connections=0)  # a new connection for each request
        with httpx.Client(
            base_url=f"http://127.0.0.1:{port}", limits=limits, timeout=START_SECONDS
        ) as http:
            try:
                wait_until_ready(http.get)
            except BaseException:
                process.kill()
                print(output.read_text())
                raise
            events = [{"user_id": f"u{n % 7}", "item_id": f"i{n % 11}"} for n in range(200)]
            assert http.post("/v1/events", json=events).json()["accepted"] == 200
            with ExitStack() as stack:  # connections that stay open do not prevent the end
                for _ in range(4):
                    kept = stack.enter_context(httpx.Client(base_url=http.base_url, timeout=60.0))
                    assert kept.get("/v1/jobs").status_code == 200
                yield http
                process.send_signal(signal.SIGTERM)
                assert process.wait(START_SECONDS) == 0
    assert "Traceback" not in output.read_text()


def metric(http: httpx.Client, name: str) -> float:
    lines = http.get("/metrics").text.splitlines()
    found = [line.split(" ")[1] for line in lines if line.startswith(name + " ")]
    return float(found[0]) if found else 0.0


def until(what: Callable[[], object]) -> None:
    end = time.monotonic() + START_SECONDS
    while not what():
        assert time.monotonic() < end
        time.sleep(0.05)


def test_all_readers_reflect_a_write_with_its_offset(server: httpx.Client) -> None:
    for n in range(12):
        wrote = server.post("/v1/events", json={"user_id": f"new{n}", "item_id": "i1"})
        offset = wrote.headers["nearline-offset"]
        assert wrote.headers.get_list("x-request-id") == [wrote.headers["x-request-id"]]
        path, headers = f"/v1/users/new{n}/recommendations", {"Nearline-Min-Offset": offset}
        read, end = server.get(path, headers=headers), time.monotonic() + START_SECONDS
        while read.status_code == 503:  # a machine on which a reader gets no time for a second
            assert time.monotonic() < end
            read = server.get(path, headers=headers)
        assert read.status_code == 200
        assert read.json()["offset"] >= int(offset)
        assert "i1" not in [line["item_id"] for line in read.json()["items"]]


def test_writes_and_what_only_the_writer_knows_are_passed_on(server: httpx.Client) -> None:
    assert server.put("/v1/items/tea", json={"title": "Green tea"}).status_code == 200
    until(lambda: server.get("/v1/items/tea").status_code == 200)
    refused = server.post("/v1/events", json={"user_id": "u"})
    assert refused.status_code == 400
    assert refused.headers["content-type"] == "application/problem+json"
    job = server.post("/v1/jobs", json={"kind": "checkpoint"}).json()["id"]
    until(lambda: server.get(f"/v1/jobs/{job}").json()["state"] == "done")
    assert server.get("/v1/unknown").status_code == 404
    assert server.head("/openapi.json").status_code == 200
    assert "openapi" in server.get("/openapi.json").json()
    big = [{"user_id": f"big{n}", "item_id": "i2"} for n in range(2_000)]
    assert server.post("/v1/events", json=big).json()["accepted"] == 2_000
    assert server.delete("/v1/users/big7").status_code == 200


def test_an_impression_of_a_list_that_a_reader_answered(server: httpx.Client) -> None:
    found = server.get("/v1/users/u1/recommendations?k=3").json()["recommendation_id"]
    body = {"recommendation_id": found}
    until(lambda: server.post("/v1/impressions", json=body).status_code < 300)


def test_counters_are_those_of_all_processes(server: httpx.Client) -> None:
    count = (
        'nearline_requests_total{method="GET",route="/v1/users/{user_id}/recommendations",'
        'status="200"}'
    )
    before = metric(server, count)
    for _ in range(20):
        server.get("/v1/users/u3/recommendations")
    until(lambda: metric(server, count) >= before + 20)
    assert metric(server, count) == before + 20
    assert metric(server, "nearline_workers") == 2


def test_a_worker_that_is_killed_is_started_again(server: httpx.Client) -> None:
    before = metric(server, "nearline_worker_restarts_total")
    os.kill(_a_reader(server), signal.SIGKILL)
    until(lambda: metric_or_none(server, "nearline_worker_restarts_total") == before + 1)
    until(lambda: metric_or_none(server, "nearline_workers") == 2)


def metric_or_none(http: httpx.Client, name: str) -> float | None:
    try:
        return metric(http, name)
    except httpx.TransportError:  # a connection to the process that was killed
        return None


def _a_reader(http: httpx.Client) -> int:
    """Return the process ID of a reader, which listens on the port."""
    port = http.base_url.port
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        try:
            words = (entry / "cmdline").read_bytes().split(b"\0")
            role = b"NEARLINE_READER_OF=" in (entry / "environ").read_bytes()
        except OSError:
            continue
        if role and str(port).encode() in words:
            return int(entry.name)
    raise AssertionError("no reader")


def test_sums_of_counters_do_not_fall_when_a_reader_ends() -> None:
    one = RequestCounts("GET", "/x", 200, [1, 2], 0.5)
    part = WorkerCounters([one], [1, 2], 3, 4, 5, 6)
    assert added([part, NO_COUNTERS, part]) == WorkerCounters(
        [RequestCounts("GET", "/x", 200, [2, 4], 1.0)], [2, 4], 6, 8, 10, 6
    )
    workers = Workers()
    workers._live = {1: part, 2: part}
    before = workers.total()
    workers.ended(1)
    assert workers.total() == before
    workers.report(1, b"late")  # of a reader that has ended
    assert workers.total() == before
