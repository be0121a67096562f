"""A signal ends a server while its store is still being opened."""

import asyncio
import io
import json
import os
import signal
import threading

from nearline.engine import Recommender
from nearline.server import serve
from nearline.server.host import EngineHost
from nearline.server.logs import JsonLog
from nearline.testing.servers.ports import free_port


def test_serve_returns_while_the_store_is_still_being_opened() -> None:
    release, closed = threading.Event(), threading.Event()

    def open_slowly() -> Recommender:
        release.wait(120)
        engine = Recommender()
        close = engine.close

        def close_and_record() -> None:
            close()
            closed.set()

        engine.close = close_and_record  # type: ignore[method-assign]
        return engine

    def stop(_: str) -> None:
        os.kill(os.getpid(), signal.SIGTERM)

    assert serve(open_slowly, port=free_port(), announce=stop, drain_seconds=1) is False
    assert not closed.is_set()
    release.set()
    assert closed.wait(120)


def test_an_engine_that_is_opened_too_late_is_closed() -> None:
    release, closed = threading.Event(), threading.Event()

    class Late(Recommender):
        def close(self) -> None:
            super().close()
            closed.set()

    def open_slowly() -> Recommender:
        release.wait(120)
        return Late()

    stream = io.StringIO()

    async def main() -> None:
        host = EngineHost(open_slowly, JsonLog(stream, lambda: 0.0))
        host.start()
        await asyncio.sleep(0)
        assert host.opening
        host.abandon()
        await host.close()

    asyncio.run(main())
    release.set()
    assert closed.wait(120)
    assert [json.loads(line)["message"] for line in stream.getvalue().splitlines()] == []
