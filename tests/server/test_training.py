"""Jobs and snapshots over HTTP: a real server answers during training."""

import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
from litestar.testing import TestClient
from tests.server.serving import LiveServer

from nearline.server import Gateway

WAIT = 120.0


def finished(http: httpx.Client, job_id: str) -> dict[str, Any]:
    deadline = time.monotonic() + WAIT
    while time.monotonic() < deadline:
        job: dict[str, Any] = http.get(f"/v1/jobs/{job_id}").json()
        if job["finished"] is not None:
            return job
        time.sleep(0.02)
    raise TimeoutError(job_id)


def train(http: httpx.Client, **order: object) -> dict[str, Any]:
    answer = http.post("/v1/jobs", json={"kind": "train", **order})
    assert answer.status_code == 202, answer.text
    return finished(http, answer.json()["id"])


def read_until_over(live: LiveServer, job_id: str) -> list[dict[str, Any]]:
    """Read the same list until the job is over; no request may fail."""
    answers = []
    with httpx.Client(base_url=live.url, timeout=120.0) as http:
        while http.get(f"/v1/jobs/{job_id}").json()["finished"] is None:
            answer = http.get("/v1/users/p0/recommendations?k=3")
            assert answer.status_code == 200, answer.text
            answers.append(answer.json())
    return answers


def test_trained_promoted_refused_and_rolled_back_while_serving(
    live: LiveServer, http: httpx.Client
) -> None:
    events = [
        {
            "user_id": f"p{person}",
            "item_id": f"{'red' if person % 2 else 'blue'}-{(person // 2 + step) % 6}",
            "timestamp": 1.6e9 + 100.0 * step + person,
        }
        for person in range(40)
        for step in range(5)
    ]
    assert http.post("/v1/events", json=events).status_code == 200

    with ThreadPoolExecutor(3) as readers:
        order = {"kind": "train", "settings": {"search": {"evaluations": 3}}}
        job = http.post("/v1/jobs", json=order).json()
        assert (job["kind"], job["state"]) == ("train", "queued")
        reads = [readers.submit(read_until_over, live, job["id"]) for _ in range(3)]
        done = finished(http, job["id"])
        answers = [answer for read in reads for answer in read.result()]
    assert done["state"] == "done", done
    first = done["result"]["snapshot_id"]
    after = http.get("/v1/users/p0/recommendations?k=3").json()
    assert after["model"] == first
    # All lines of an answer come from the same model.
    lists = {(answer["model"], str(answer["items"])) for answer in answers}
    assert {model for model, _ in lists} <= {"untrained", first}
    assert len({items for model, items in lists if model == first} - {str(after["items"])}) == 0

    refused = train(http, model="popularity")
    assert refused["state"] == "refused"
    assert "significantly lower" in refused["message"]
    assert http.get("/v1/users/p0/recommendations").json()["model"] == first
    second = refused["result"]["snapshot_id"]
    shown = http.get("/v1/snapshots").json()["snapshots"]
    assert [(one["id"], one["serving"]) for one in shown] == [(first, True), (second, False)]

    by_hand = http.post(f"/v1/snapshots/{second}:promote")
    assert (by_hand.status_code, by_hand.json()["model"]) == (200, "popularity")
    assert http.get("/v1/users/p0/recommendations").json()["model"] == second
    back = http.post("/v1/snapshots:rollback")
    assert (back.status_code, back.json()["id"]) == (200, first)
    assert http.get("/v1/users/p0/recommendations").json()["model"] == first
    assert http.post("/v1/snapshots:rollback").status_code == 409

    job = http.post("/v1/jobs", json={"kind": "checkpoint"}).json()
    assert finished(http, job["id"])["result"] == {"offset": 200}
    assert (live.store / "state.checkpoint").is_file()


def test_a_training_is_cancelled(http: httpx.Client) -> None:
    http.post("/v1/events", json={"user_id": "p0", "item_id": "red-0", "event_id": "once"})
    slow = {"epochs": 10_000, "factors": 1_024, "hardest_of": 1_000}  # takes minutes
    order = {"kind": "train", "model": "bpr", "settings": slow}
    running = http.post("/v1/jobs", json=order).json()["id"]
    waiting = http.post("/v1/jobs", json=order).json()["id"]
    cancelled = http.delete(f"/v1/jobs/{waiting}")
    assert (cancelled.status_code, cancelled.json()["state"]) == (202, "cancelled")
    assert http.delete(f"/v1/jobs/{running}").status_code == 202
    assert finished(http, running)["state"] == "cancelled"
    ids = [job["id"] for job in http.get("/v1/jobs").json()["jobs"]]
    assert ids[:2] == [waiting, running]


def test_invalid_jobs_and_snapshots_are_refused(client: TestClient[Gateway]) -> None:
    for body, field in [
        ({"kind": "dance"}, "kind"),
        ({"kind": "train", "model": "nothing"}, "model"),
        ({"kind": "train", "settings": {"nothing": 1}}, "settings"),
        ({"kind": "checkpoint", "seed": 3}, "kind"),
        ({"kind": "checkpoint"}, "kind"),  # this store is in memory
    ]:
        answer = client.post("/v1/jobs", json=body)
        assert (answer.status_code, answer.json()["field"]) == (400, field), body
    for verb, path, status in [
        ("GET", "/v1/jobs/train-99", 404),
        ("DELETE", "/v1/jobs/train-99", 404),
        ("POST", "/v1/snapshots/0123456789abcdef", 404),
        ("POST", "/v1/snapshots/0123456789abcdef:demote", 404),
        ("POST", "/v1/snapshots/0123456789abcdef:promote", 409),
        ("POST", "/v1/snapshots:rollback", 409),
    ]:
        assert client.request(verb, path).status_code == status, path
    assert client.get("/v1/snapshots").json() == {"snapshots": []}


def test_a_training_in_memory(client: TestClient[Gateway]) -> None:
    client.post(
        "/v1/events", json=[{"user_id": "u", "item_id": "i"}, {"user_id": "u", "item_id": "j"}]
    )
    assert train(client)["state"] == "done"
    (only,) = client.get("/v1/snapshots").json()["snapshots"]
    assert (only["serving"], only["written"], only["offset"]) == (True, None, 2)
