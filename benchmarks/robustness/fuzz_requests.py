"""Random requests to a server: valid ones, and ones with invalid parts."""

import asyncio
import json
import random
import string
import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from typing import Any
from urllib.parse import quote, urlencode

from benchmarks.robustness.target import Target

from nearline.bench.load import Connection
from nearline.bench.plan import Plan
from nearline.bench.shop import store

WORKERS = 4
MEMORY_MB = 1_000
ANSWER_SECONDS = 60.0
MOST_ENTRIES = 5_000
FORBIDDEN = (500, 501, 502, 504)
IDS = (
    *("u1", "i1", "unknown", "a/b", "%", "%2F", "\u00fc", "\u6f22\u5b57", "x" * 512, "x" * 513),
    *(" ", ".", "..", "a:b", ":promote", "\n", "\x7f", "\U0001f600", "e\u0301", "\ufeff", "null"),
    *("0", "-1", "a?b", "a#b", "a;b", "a&b=c", "a+b", "\u202e", "\ufffe", "__proto__", "{}"),
)
VALUES: tuple[Any, ...] = (
    *(None, True, False, 0, -1, 1, 10**400, -(2**63), 2**64, 0.1, -1e308, 1e15, 1.7e9, 5e-324),
    *("", "x", "i1", "\ud800", "\u0000", "x" * 70_000, "2026-01-01T00:00:00Z", "9999-12-31"),
    *([], {}, [[]], ["i1"] * 3, {"a": {"b": [1]}}, ["x"] * 2_000, {"v": [0.0]}, [1e15, -1e15]),
)
EVENT = {
    "user_id": "u1",
    "item_id": "i1",
    "event": "view",
    "event_id": "e",
    "value": 1.0,
    "timestamp": 1.7e9,
    "session_id": "s",
    "context": {"a": "b", "n": 1},
}
ITEM = {
    "item_id": "i1",
    "title": "cup",
    "text": "a red cup",
    "categories": ["a"],
    "attributes": {"price": 3, "tags": ["x", "y"]},
    "vectors": {"v": [1.0, 2.0]},
    "available": True,
}
LIST = {
    "history": ["i1"],
    "k": 5,
    "exclude": ["i2"],
    "category": "a",
    "context": {"a": "b"},
}
BATCH = {"user_ids": ["u1", "u2"], "k": 5, "preferences": "green tea", "context": {"a": "b"}}
RANK = {"user_id": "u1", "item_ids": ["i1", "i2"]}
JOB = {"kind": "checkpoint", "seed": 0, "model": "item_graph", "settings": {"max_history": 10}}
PRELOAD = {"user_ids": ["u1"]}
Example = tuple[str, str, Any]
ROUTES: tuple[Example, ...] = (
    ("POST", "/v1/events", EVENT),
    ("POST", "/v1/events", [EVENT, EVENT]),
    ("DELETE", "/v1/events/{}", None),
    ("POST", "/v1/items", [ITEM]),
    ("PUT", "/v1/items/{}", ITEM),
    ("PATCH", "/v1/items/{}", {"title": "mug", "available": False}),
    ("GET", "/v1/items/{}", None),
    ("GET", "/v1/items/{}/similar", None),
    ("DELETE", "/v1/items/{}", None),
    ("GET", "/v1/users/{}", None),
    ("DELETE", "/v1/users/{}", None),
    ("GET", "/v1/users/{}/recommendations", None),
    ("GET", "/v1/users/{}/explanations/{}", None),
    ("POST", "/v1/recommendations", LIST),
    ("POST", "/v1/recommendations:batch", BATCH),
    ("POST", "/v1/preload", PRELOAD),
    ("POST", "/v1/rank", RANK),
    ("POST", "/v1/jobs", JOB),
    ("GET", "/v1/jobs/{}", None),
    ("DELETE", "/v1/jobs/{}", None),
    ("POST", "/v1/snapshots/{}:promote", None),
    ("GET", "/v1/snapshots", None),
    ("GET", "/v1/jobs", None),
    ("GET", "/{}", None),
)
WITH_BODY = tuple(route for route in ROUTES if route[2] is not None)
QUERIES = {
    "k": ("1", "5", "1000", "0", "-1", "1e3", "\u0665", " 5", "5.0"),
    "exclude_seen": ("true", "false", "1", "TRUE", ""),
    "category": ("a", "", "\x00"),
    "exclude": ("i1", "i2", "x" * 513),
    "context": ("a:b", "a", ":", "a:b:c", "n:1", ":b"),
    "preferences": ("green tea", "", "x" * 1_001, "\u6f22\u5b57"),
    "deadline_ms": ("1", "50", "0", "99999999999"),
    "explain": ("true", "false"),
    "words": ("true", "maybe"),
    "x": ("y",),
}
PATH_PARTS = (
    *("v1", "users", "items", "events", "recommendations", "recommendations:batch", "similar"),
    *("u1", "i1", "", ".", "..", "%2e%2e", "%", "%zz", "%00", "%ff", "%C3%28", "a%2Fb", "docs"),
    *("openapi.json", "metrics", "livez", "readyz", "*", "x" * 5_000, "\\", "{user_id}", "+", "~"),
)
METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "CONNECT", "PURGE", "get")

Request = tuple[str, str, bytes]
Maker = Callable[[random.Random], Request]


def mutated(value: Any, rng: random.Random) -> Any:
    """Return a copy of a JSON value in which one random part has another value."""
    if isinstance(value, dict) and value and rng.random() < 0.8:
        name = rng.choice(list(value))
        chance = rng.random()
        if chance < 0.15:
            return {**value, rng.choice(IDS): rng.choice(VALUES)}
        if chance < 0.25:
            return {key: entry for key, entry in value.items() if key != name}
        return {**value, name: mutated(value[name], rng)}
    if isinstance(value, list) and value and rng.random() < 0.8:
        place = rng.randrange(len(value))
        if rng.random() < 0.2:
            # Not more, since the generator must not be what is slow.
            return value * min(rng.choice((2, 10, 500)), MOST_ENTRIES // len(value) + 1)
        return [*value[:place], mutated(value[place], rng), *value[place + 1 :]]
    if isinstance(value, str) and rng.random() < 0.5:
        return random_text(rng)
    return rng.choice(VALUES)


def damaged(data: bytes, rng: random.Random) -> bytes:
    """Return a copy of some bytes that is changed, truncated or extended."""
    kind = rng.random()
    if kind < 0.2:
        return data[: rng.randrange(len(data) + 1)]
    if kind < 0.3:
        return data + rng.randbytes(rng.randrange(1, 1_000))
    changed = bytearray(data)
    for _ in range(rng.choice((1, 1, 10, 1_000))):
        if changed:
            changed[rng.randrange(len(changed))] = rng.randrange(256)
    return bytes(changed)


def random_text(rng: random.Random) -> str:
    """Return a short random text of any Unicode characters except surrogates."""
    if rng.random() < 0.3:
        return rng.choice(IDS)
    ranges = ((0, 0x20), (0x20, 0x7F), (0x7F, 0x100), (0x100, 0xD7FF), (0xE000, 0x10FFFF))
    low, high = rng.choice(ranges)
    return "".join(chr(rng.randrange(low, high)) for _ in range(rng.randrange(1, 20)))


def with_ids(path: str, rng: random.Random, *, raw: float = 0.0) -> str:
    """Return a path whose placeholders are random IDs, not encoded with the probability `raw`."""
    for _ in range(path.count("{}")):
        name = rng.choice(("u1", "i1", random_text(rng), random_text(rng)))
        path = path.replace("{}", name if rng.random() < raw else quote(name, safe=""), 1)
    return path


def body_request(rng: random.Random) -> Request:
    """Return a request with a random body, which is JSON of the route in most cases."""
    method, path, example = rng.choice(WITH_BODY)
    for _ in range(rng.randrange(4)):
        example = mutated(example, rng)
    body = json.dumps(example, ensure_ascii=rng.random() < 0.5).encode(errors="surrogatepass")
    return method, with_ids(path, rng), damaged(body, rng) if rng.random() < 0.2 else body


def id_request(rng: random.Random) -> Request:
    """Return a request with random IDs, in the path or in the body."""
    method, path, example = rng.choice(ROUTES)
    body = b""
    if isinstance(example, dict):
        changed = {
            key: random_text(rng) if isinstance(value, str) and rng.random() < 0.7 else value
            for key, value in example.items()
        }
        if "{}" in path:  # the ID in the path and the one in the body must be equal
            changed.pop("item_id", None)
        body = json.dumps(changed).encode(errors="surrogatepass")
    elif example is not None:
        body = json.dumps([{**example[0], "item_id": random_text(rng)}]).encode()
    return method, with_ids(path, rng, raw=0.1), body


def path_request(rng: random.Random) -> Request:
    """Return a request with a random method and a random path."""
    parts = [rng.choice(PATH_PARTS) for _ in range(rng.randrange(1, 7))]
    if rng.random() < 0.3:
        parts = [damaged(part.encode(), rng).decode("latin-1") for part in parts]
    if rng.random() < 0.5:
        path = with_ids(rng.choice(ROUTES)[1], rng, raw=0.3)
        path = damaged(path.encode(), rng).decode("latin-1") if rng.random() < 0.3 else path
    else:
        path = "/" + "/".join(parts)
    path = "".join(c for c in path if c not in "\r\n")
    return rng.choice(METHODS), path, b""


def query_request(rng: random.Random) -> Request:
    """Return a request with a random query string."""
    readers = [route for route in ROUTES if route[2] is None]
    method, path, _ = rng.choice(readers)
    if rng.random() < 0.7:
        method, path = "GET", rng.choice(("/v1/users/{}/recommendations", "/v1/items/{}/similar"))
    known = [name for name in QUERIES if name in ("k", "words")]
    if path.endswith("recommendations"):
        known = [name for name in QUERIES if name not in ("words", "x")]
    pairs = []
    for name in rng.sample(known, rng.randrange(1, len(known) + 1)):
        # Mostly valid, so that several parameters are read together.
        text = QUERIES[name][0] if rng.random() < 0.7 else rng.choice(QUERIES[name])
        pairs.append((name, random_text(rng) if rng.random() < 0.1 else text))
    if rng.random() < 0.1:
        pairs.append((rng.choice([*QUERIES, random_text(rng)]), rng.choice(IDS)))
    query = urlencode(pairs, errors="replace")
    if rng.random() < 0.2:
        letters = string.printable.split("\t")[0] + "%%%&&==++"
        query = "".join(rng.choice(letters) for _ in range(rng.randrange(50))).replace(" ", "%")
    return method, f"{with_ids(path, rng)}?{query}", b""


REQUESTS: dict[str, Maker] = {
    "bodies": body_request,
    "ids": id_request,
    "paths": path_request,
    "queries": query_request,
}


async def check_id(send: Any, rng: random.Random) -> str | None:
    """Store an item and an event with random IDs, read and delete them; return what is wrong."""
    # Others change the items and users whose IDs are not random.
    item, user = (f"{random_text(rng)[:100]}-{rng.getrandbits(64):x}" for _ in range(2))
    put = await send("PUT", f"/v1/items/{quote(item, safe='')}", b'{"title": "x"}')
    if put.status == 200:
        got = await send("GET", f"/v1/items/{quote(item, safe='')}", b"")
        if got.status != 200 or json.loads(got.body)["item_id"] != item:
            return f"item {item!r:.200} was stored and is read as {got.status} {got.body!r:.200}"
        body = json.dumps({"user_id": user, "item_id": item}).encode()
        if (await send("POST", "/v1/events", body)).status == 200:
            got = await send("GET", f"/v1/users/{quote(user, safe='')}", b"")
            if got.status != 200 or json.loads(got.body)["user_id"] != user:
                return f"user {user!r:.200} has an event and is read as {got.status}"
            await send("DELETE", f"/v1/users/{quote(user, safe='')}", b"")
    return None


async def fuzz_requests(plan: Plan, until: float, name: str) -> dict[str, Any]:
    """Send random requests; return the row of the results."""
    target = Target(store(plan, f"fuzz-{name}"))
    await target.start()
    watching = asyncio.create_task(target.watch())
    statuses: Counter[int] = Counter()
    findings: list[str] = []

    async def worker(number: int) -> None:
        rng = random.Random(f"{plan.seed} {name} {number}")
        connection: Connection | None = None

        async def send(method: str, path: str, body: bytes) -> Any:
            nonlocal connection
            if connection is None or connection.closed:
                connection = await target.connect()
            shown = f"{method} {path[:300]} {body[:500]!r}"
            try:
                answer = await asyncio.wait_for(connection.ask(method, path, body), ANSWER_SECONDS)
            except TimeoutError:
                connection.close()
                findings.append(f"no answer: {shown}")
                raise ConnectionError from None
            statuses[answer.status] += 1
            if answer.status in FORBIDDEN:
                findings.append(f"status {answer.status}: {shown}")
            return answer

        while time.perf_counter() < until and target.process.poll() is None:
            # A connection whose request is no HTTP is closed.
            with suppress(OSError):
                if name == "ids" and rng.random() < 0.3:
                    wrong = await check_id(send, rng)
                    findings.extend([wrong] if wrong else [])
                else:
                    await send(*REQUESTS[name](rng))

    await asyncio.gather(*(worker(number) for number in range(WORKERS)))
    watching.cancel()
    ended = target.process.poll()
    if ended is not None:
        findings.append(f"the server ended with {ended}")
    if target.peak_mb > MEMORY_MB:
        findings.append(f"the server needed {target.peak_mb:.0f} MB")
    await target.stop()
    findings += wrong_log_lines(target)
    return {
        "inputs": statuses.total(),
        "outcomes": {str(status): count for status, count in sorted(statuses.items())},
        "memory_mb": round(target.peak_mb),
        "findings": findings,
    }


def wrong_log_lines(target: Target) -> list[str]:
    """Return the lines of the server's output that are not JSON or contain a traceback."""
    wrong = []
    with target.store.with_suffix(".txt").open(encoding="utf-8", errors="replace") as lines:
        for line in lines:
            if line.startswith("Listening on"):
                continue
            try:
                found = json.loads(line)
            except ValueError:
                wrong.append(f"not JSON: {line[:500]}")
                continue
            if "traceback" in found:
                wrong.append(f"traceback: {found['traceback'][-500:]}")
    return wrong[:10]
