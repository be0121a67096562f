"""The flow: what viewers see, what is masked, and what a viewer that does not read costs."""

import asyncio
import json
from collections.abc import AsyncIterator
from itertools import pairwise
from typing import Any

import httpx
import pytest
from tests.server.serving import LiveServer

from nearline.errors import Overloaded
from nearline.server import flow as module
from nearline.server.flow import KEPT_FRAMES, PER_TICK, Flow
from nearline.server.routes.inspection import _without_secrets


def data(frame: bytes) -> list[dict[str, Any]]:
    """Messages of a part of a stream."""
    lines = frame.decode().split("\n\n")
    return [json.loads(line[6:]) for line in lines if line.startswith("data: ")]


async def next_data(stream: AsyncIterator[bytes]) -> list[dict[str, Any]]:
    while not (found := data(await anext(stream))):
        pass
    return found


def test_viewers_see_events_and_lists_with_masked_ids() -> None:
    async def look() -> None:
        flow = Flow()
        masked, plain = flow.stream(), flow.stream(masked=False)
        await anext(masked)
        await anext(plain)
        flow.note_events([("ann", "tea", "view"), ("ann", "cup", "like")], 2)
        route = "/v1/users/{user_id}/recommendations"
        flow.note_answer(b"/v1/users/ann/recommendations", route, 200, 0.002)
        flow.note_answer(b"/v1/events", "/v1/events", 200, 0.002)
        [seen] = await next_data(plain)
        assert (seen["events"], seen["lists"]) == (2, 1)
        assert [one["user"] for one in seen["entries"]] == ["ann"] * 3
        assert seen["entries"][0] == {
            **{"kind": "event", "user": "ann", "item": "tea", "what": "view"}
        }
        assert seen["entries"][2]["milliseconds"] == 2.0
        [hidden] = await next_data(masked)
        users = {one["user"] for one in hidden["entries"]}
        assert len(users) == 1
        assert "ann" not in json.dumps(hidden)
        assert "tea" not in json.dumps(hidden)

    asyncio.run(look())


def test_a_viewer_that_does_not_read_holds_nothing_and_misses_frames() -> None:
    async def look() -> None:
        flow = Flow()
        slow = flow.stream()
        await anext(slow)
        for number in range(3 * KEPT_FRAMES):
            flow.note_events([("u", str(number), "view")] * (2 * PER_TICK), 2 * PER_TICK)
            flow._flush()
            assert len(flow._frames) <= KEPT_FRAMES
        seen = await next_data(slow)
        assert len(seen) == KEPT_FRAMES
        assert all(len(one["entries"]) == PER_TICK for one in seen)
        assert all(one["events"] == 2 * PER_TICK for one in seen)

    asyncio.run(look())


def test_a_stream_ends_when_the_flow_is_closed_and_is_counted(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def look() -> None:
        flow = Flow()
        part = flow.part()
        for one in (flow, part):
            stream = one.stream()
            await anext(stream)
            assert one.viewers == 1
            flow.close()
            with pytest.raises(StopAsyncIteration):
                await anext(stream)
            assert one.viewers == 0

    asyncio.run(look())


def test_an_idle_stream_gets_comments_and_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "IDLE_SECONDS", 0.001)

    async def look() -> list[bytes]:
        return [frame async for frame in Flow().stream(seconds=0.05)]

    frames = asyncio.run(look())
    assert frames[0] == b": connected\n\n"
    assert set(frames[1:]) == {b": idle\n\n"}


def test_there_is_a_limit_of_viewers(monkeypatch: pytest.MonkeyPatch) -> None:
    flow = Flow()
    flow.viewers = module.MAX_VIEWERS
    with pytest.raises(Overloaded, match="200 viewers"):
        flow.check()


def test_the_flow_of_a_server(http: httpx.Client, live: LiveServer) -> None:
    with http.stream("GET", "/v1/flow", params={"ids": "plain"}) as stream:
        assert stream.headers["content-type"].startswith("text/event-stream")
        texts = stream.iter_text()
        assert next(texts).startswith(":")
        sent = {"user_id": "flow-user", "item_id": "flow-item"}
        assert httpx.post(f"{live.url}/v1/events", json=sent, timeout=60).status_code == 200
        for text in texts:
            found = [entry for one in data(text.encode()) for entry in one["entries"]]
            if any(entry["user"] == "flow-user" for entry in found):
                break
    assert http.get("/v1/flow", params={"ids": "none"}).status_code == 400
    assert http.get("/v1/flow", params={"x": "1"}).status_code == 400


def test_the_settings_in_force(http: httpx.Client) -> None:
    found = http.get("/v1/config").json()
    assert found["engine"]["model"] == "item_graph"
    assert found["limits"]["list_length"] == 10_000


def test_secrets_are_hidden() -> None:
    told = {"options": {"api_key": "s", "x": [{"password": 1}]}, "url": "http://a:b@host/v1"}
    assert _without_secrets(told) == {
        "options": {"api_key": "(hidden)", "x": [{"password": "(hidden)"}]},
        "url": "http://host/v1",
    }


def test_the_trend_of_an_item_counts_days(http: httpx.Client) -> None:
    sent = [{"user_id": f"t{n}", "item_id": "trendy"} for n in range(3)]
    old = {"user_id": "t9", "item_id": "trendy", "timestamp": 1.7e9}
    assert http.post("/v1/events", json=[*sent, old]).status_code == 200
    days = http.get("/v1/items/trendy/trend", params={"days": 7}).json()["days"]
    assert len(days) == 7
    # The day may change between the events and this request.
    assert sum(day["events"] for day in days) == 3
    assert all(later["start"] - day["start"] == 86_400 for day, later in pairwise(days))
    assert http.get("/v1/items/none/trend").status_code == 404
    assert http.get("/v1/items/trendy/trend", params={"days": 0}).status_code == 400
