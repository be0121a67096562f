"""Log lines: one JSON object each, in order, whole."""

import asyncio
import io
import json

from nearline.server.logs import JsonLog


class Stream(io.StringIO):
    """Remembers each write."""

    def __init__(self) -> None:
        super().__init__()
        self.writes: list[str] = []

    def write(self, text: str) -> int:
        self.writes.append(text)
        return super().write(text)


def test_a_line_is_one_object() -> None:
    stream = io.StringIO()
    JsonLog(stream, lambda: 1_700_000_000.25).write("info", "request", status=200, path="a\nb")
    assert stream.getvalue().count("\n") == 1
    assert json.loads(stream.getvalue()) == {
        "ts": "2023-11-14T22:13:20.250+00:00",
        "level": "info",
        "message": "request",
        "status": 200,
        "path": "a\nb",
    }


def test_lines_of_one_turn_of_the_loop_go_out_together() -> None:
    stream = Stream()
    log = JsonLog(stream, lambda: 0.0)

    async def turns() -> None:
        log.write("info", "one")
        log.write("info", "two")
        await asyncio.sleep(0)
        log.write("info", "three")
        await asyncio.sleep(0)

    asyncio.run(turns())
    assert len(stream.writes) == 2
    told = [json.loads(line)["message"] for line in stream.getvalue().splitlines()]
    assert told == ["one", "two", "three"]


def test_a_thread_does_not_wait_for_the_loop() -> None:
    stream = Stream()
    log = JsonLog(stream, lambda: 0.0)

    async def blocked() -> None:
        thread = asyncio.get_running_loop().run_in_executor(None, log.write, "info", "aside")
        while not thread.done():
            await asyncio.sleep(0.001)
        assert len(stream.writes) == 1

    asyncio.run(blocked())
