"""The shared cache against real servers: a single one, a cluster, and ones that fail."""

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from typing import Any, TypeVar

import pytest

from nearline.adapters import valkey as module
from nearline.adapters.language_model import LanguageModel
from nearline.adapters.llm_config import LlmConfig, Prompt
from nearline.adapters.valkey import Address, SharedCache, parse_address
from nearline.errors import InvalidInput
from nearline.testing.chat_endpoint import Asked, ChatEndpoint, Reply
from nearline.testing.servers import ValkeyCluster, ValkeyServer, valkey

pytestmark = pytest.mark.servers
T = TypeVar("T")


class Clock:
    now = 1_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture(scope="module", autouse=True)
def patient() -> Iterator[None]:
    """Commands may take long on a loaded machine."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "REQUEST_MS", 60_000)
        patch.setattr(module, "CONNECT_SECONDS", 60.0)
        yield


@pytest.fixture(scope="module")
def server() -> Iterator[ValkeyServer]:
    with valkey() as started:
        yield started


@pytest.fixture(scope="module")
def cluster() -> Iterator[ValkeyCluster]:
    with ValkeyCluster() as started:
        yield started


def use(url: str, work: Callable[[SharedCache], Awaitable[T]], clock: Any = None) -> T:
    async def run() -> T:
        cache = SharedCache(url, clock or Clock())
        try:
            await cache.connected()
            return await work(cache)
        finally:
            await cache.close()

    return asyncio.run(run())


async def values(cache: SharedCache) -> None:
    assert await cache.get("none") is None
    await cache.put("llm:a", b"\x00one", 60.0)
    await cache.put("llm:b", b"two", 60.0)
    await cache.put("other:c*", b"three", 60.0)
    assert await cache.get("llm:a") == b"\x00one"
    await cache.clear("llm:")
    assert [await cache.get(key) for key in ("llm:a", "llm:b")] == [None, None]
    assert await cache.get("other:c*") == b"three"
    await cache.clear("other:c*")
    assert await cache.get("other:c*") is None
    assert (cache.hits, cache.misses, cache.failures) == (2, 4, 0)


async def buckets(cache: SharedCache) -> None:
    slow = {"rate": 1e-6, "burst": 3.0}
    assert [await cache.take("a", **slow) for _ in range(3)] == [0.0] * 3
    wait = await cache.take("a", **slow)
    assert wait is not None
    assert 0.9e6 < wait <= 1e6
    assert await cache.take("b", **slow, cost=3.0) == 0.0
    fast = {"rate": 1e9, "burst": 1.0}
    assert [await cache.take("c", **fast) for _ in range(5)] == [0.0] * 5
    with pytest.raises(ValueError, match="do not fit"):
        await cache.take("d", rate=1.0, burst=1.0, cost=2.0)


def test_values_and_buckets(server: ValkeyServer) -> None:
    use(server.url, values)
    use(server.url, buckets)


def test_a_cluster(cluster: ValkeyCluster) -> None:
    use(cluster.url, values)
    use(cluster.url, buckets)


def test_many_servers_share_a_bucket(server: ValkeyServer) -> None:
    async def taken(cache: SharedCache) -> int:
        other = SharedCache(server.url, Clock())
        await other.connected()
        both = [one.take("shared", rate=1e-6, burst=10.0) for one in (cache, other) * 10]
        found = await asyncio.gather(*both)
        await other.close()
        return sum(wait == 0.0 for wait in found)

    assert use(server.url, taken) == 10


def test_values_end(server: ValkeyServer) -> None:
    async def ended(cache: SharedCache) -> None:
        await cache.put("short", b"x", 0.001)
        while await cache.get("short") is not None:
            await asyncio.sleep(0.01)

    use(server.url, ended)


def test_no_server_costs_no_error() -> None:
    async def nothing(cache: SharedCache) -> list[object]:
        await cache.put("a", b"b", 1.0)
        await cache.clear("a")
        return [await cache.get("a"), await cache.take("a", rate=1.0, burst=1.0)]

    assert use("valkey://127.0.0.1:1", nothing) == [None, None]


def test_a_server_that_is_killed_is_left_alone_and_used_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    clock = Clock()
    with valkey() as own:

        async def work(cache: SharedCache) -> None:
            await cache.put("a", b"b", 60.0)
            assert await cache.get("a") == b"b"
            own.command("FLUSHALL")
            assert await cache.get("a") is None
            own.kill()
            while cache.failures < module.FAILURES:
                assert await cache.get("a") is None
            before = cache.failures
            assert await cache.get("a") is None  # without asking
            assert cache.failures == before
            own.start()
            while True:
                clock.now += module.PAUSE_SECONDS + 1
                await cache.put("a", b"c", 60.0)
                if await cache.get("a") == b"c":
                    break
                await asyncio.sleep(0.05)

        with monkeypatch.context() as patch:
            patch.setattr(module, "REQUEST_MS", 1_000)
            use(own.url, work, clock)


def test_addresses() -> None:
    assert parse_address("valkey://localhost") == Address(
        (("localhost", 6_379),), False, False, None, None, "nearline"
    )
    assert parse_address("valkeys://u:p%40@a:1,b:2?cluster=1&prefix=x") == Address(
        (("a", 1), ("b", 2)), True, True, "u", "p@", "x"
    )
    for wrong in ("http://a", "valkey://", "valkey://a:x", "valkey://a:99999", "valkey://a?b=c"):
        with pytest.raises(InvalidInput, match="address of Valkey"):
            parse_address(wrong)
    with pytest.raises(InvalidInput) as raised:
        parse_address("valkey://u:secret@")
    assert "secret" not in str(raised.value)


def test_answers_of_a_language_model_are_shared(
    server: ValkeyServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("NEARLINE_LLM_KEY", raising=False)
    server.command("FLUSHALL")
    prompt = Prompt("be brief", "say something", max_tokens=10)
    asked: list[object] = []

    def reply(_: Asked) -> Reply:
        asked.append(1)
        return Reply("yes", tokens=5)

    with ChatEndpoint(reply) as endpoint:

        def model() -> LanguageModel:
            config = LlmConfig(
                base_url=endpoint.url, model="m", timeout_seconds=60.0, shared=server.url
            )
            made = LanguageModel(config, Clock())
            assert made._shared is not None
            made._submit(made._shared.connected()).result()
            return made

        one, two, three = model(), model(), model()
        try:
            assert [one.ask(prompt, str.upper).result() for _ in range(2)] == ["YES", "YES"]
            assert two.ask(prompt, str.upper).result() == "YES"
            assert (len(asked), two.outcomes["shared"]) == (1, 1)
            (key,) = [server.command("RANDOMKEY")]
            server.command("SET", key, "no")  # read as an answer, and refused as junk would be
            assert three.ask(prompt, lambda text: text if text == "yes" else None).result() == "yes"
            assert len(asked) == 2
            one.forget()
            while server.command("DBSIZE") != "0":
                pass
        finally:
            for each in (one, two, three):
                each.close()
