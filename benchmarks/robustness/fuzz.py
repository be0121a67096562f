"""Random requests and damaged files: no crash, no status 500, no memory beyond the budget.

    python -m benchmarks.robustness.fuzz [TARGET ...] [--minutes 10] [--seed 0]

The target `requests` sends random requests to a server: paths, queries and bodies, valid and
mutated. The targets `snapshot`, `checkpoint` and `log` change random bytes of a file of a store,
truncate it or extend it, and open the store, which must succeed or be refused with an error of
`nearline.errors`. Each finding is printed with what reproduces it, and the exit status is 1.
"""

import argparse
import asyncio
import json
import logging
import random
import shutil
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode

from benchmarks import machine
from benchmarks.robustness.target import Target

import nearline as nl
from nearline.bench.plan import Plan
from nearline.bench.shop import store
from nearline.errors import NearlineError

USERS, ITEMS = 200, 200
WORKERS = 4
MEMORY_MB = 1_000
IDS = (
    "u1",
    "i1",
    "unknown",
    "a/b",
    "%",
    "\u00fc",
    "\u6f22\u5b57",
    "x" * 513,
    " ",
    ".",
    "..",
    "a:b",
)
VALUES: tuple[Any, ...] = (
    *(None, True, False, 0, -1, 1, 10**400, -(2**63), 2**64, 0.1, -1e308, 1e15, 1.7e9),
    *("", "x", "i1", "\ud800", "\u0000", "x" * 70_000, "2026-01-01T00:00:00Z"),
    *([], {}, [[]], ["i1"] * 3, {"a": {"b": [1]}}, ["x"] * 2_000),
)
EVENT = {"user_id": "u1", "item_id": "i1", "event_id": "e", "value": 1.0, "context": {"a": "b"}}
ITEM = {"item_id": "i1", "title": "cup", "categories": ["a"], "vectors": {"v": [1.0, 2.0]}}
LIST = {"history": ["i1"], "k": 5, "exclude": ["i2"], "category": "a", "context": {"a": "b"}}
BATCH = {"user_ids": ["u1", "u2"], "k": 5, "preferences": "green tea"}
RANK = {"user_id": "u1", "item_ids": ["i1", "i2"]}
JOB = {"kind": "checkpoint", "seed": 0, "model": "item_graph", "settings": {"max_history": 10}}
ROUTES: tuple[tuple[str, str, Any], ...] = (
    ("POST", "/v1/events", EVENT),
    ("POST", "/v1/events", [EVENT, EVENT]),
    ("DELETE", "/v1/events/{}", None),
    ("POST", "/v1/items", [ITEM]),
    ("PUT", "/v1/items/{}", ITEM),
    ("PATCH", "/v1/items/{}", {"title": "mug"}),
    ("GET", "/v1/items/{}", None),
    ("GET", "/v1/items/{}/similar", None),
    ("DELETE", "/v1/items/{}", None),
    ("GET", "/v1/users/{}", None),
    ("DELETE", "/v1/users/{}", None),
    ("GET", "/v1/users/{}/recommendations", None),
    ("GET", "/v1/users/{}/explanations/{}", None),
    ("POST", "/v1/recommendations", LIST),
    ("POST", "/v1/recommendations:batch", BATCH),
    ("POST", "/v1/preload", {"user_ids": ["u1"]}),
    ("POST", "/v1/rank", RANK),
    ("POST", "/v1/jobs", JOB),
    ("GET", "/v1/jobs/{}", None),
    ("POST", "/v1/snapshots/{}", None),
    ("GET", "/{}", None),
)
QUERIES = ("k", "exclude_seen", "category", "exclude", "context", "preferences", "deadline_ms", "x")


def mutated(value: Any, rng: random.Random) -> Any:
    """Return a copy of a JSON value in which one random part has another value."""
    if isinstance(value, dict) and value and rng.random() < 0.8:
        name = rng.choice(list(value))
        if rng.random() < 0.2:
            return {**value, rng.choice(IDS): rng.choice(VALUES)}
        return {**value, name: mutated(value[name], rng)}
    if isinstance(value, list) and value and rng.random() < 0.8:
        place = rng.randrange(len(value))
        return [*value[:place], mutated(value[place], rng), *value[place + 1 :]]
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


def request_of(rng: random.Random) -> tuple[str, str, bytes]:
    """Return the method, target and body of a random request."""
    method, path, example = rng.choice(ROUTES)
    for _ in range(path.count("{}")):
        name = rng.choice(IDS)
        path = path.replace("{}", name if rng.random() < 0.1 else quote(name, safe=""), 1)
    if rng.random() < 0.4:
        texts = [str(rng.choice(VALUES))[:200] for _ in range(rng.randrange(1, 4))]
        pairs = [(rng.choice(QUERIES), text) for text in texts]
        path += "?" + urlencode(pairs, errors="replace")
    body = b""
    if example is not None:
        for _ in range(rng.randrange(3)):
            example = mutated(example, rng)
        body = json.dumps(example).encode()
        if rng.random() < 0.1:
            body = damaged(body, rng)
    if rng.random() < 0.05:
        method = rng.choice(("GET", "OPTIONS", "PUT", "TRACE"))
    return method, path, body


async def fuzz_requests(plan: Plan, until: float) -> tuple[int, list[str]]:
    """Send random requests; return their number and the findings."""
    target = Target(store(plan, "fuzz-requests"))
    await target.start()
    watching = asyncio.create_task(target.watch())
    statuses: Counter[int] = Counter()
    findings: list[str] = []

    async def worker(number: int) -> None:
        rng = random.Random(f"{plan.seed} {number}")
        while time.perf_counter() < until and target.process.poll() is None:
            method, path, body = request_of(rng)
            shown = f"{method} {path[:300]} {body[:300]!r}"
            try:
                status, _ = await asyncio.wait_for(target.send(method, path, body), 30.0)
            except TimeoutError:
                findings.append(f"no answer: {shown}")
                continue
            except OSError:  # such as a path that is no HTTP, whose connection is closed
                status = 0
            statuses[status] += 1
            if status in (500, 501, 502):
                findings.append(f"status {status}: {shown}")

    await asyncio.gather(*(worker(number) for number in range(WORKERS)))
    watching.cancel()
    if target.process.poll() is not None:
        findings.append(f"the server ended with {target.process.returncode}")
    if target.peak_mb > MEMORY_MB:
        findings.append(f"the server needed {target.peak_mb:.0f} MB")
    await target.stop()
    print(f"statuses: {dict(sorted(statuses.items()))}, {target.peak_mb:.0f} MB", flush=True)
    return statuses.total(), findings


def fuzz_files(plan: Plan, until: float, pattern: str) -> tuple[int, list[str]]:
    """Damage random files that match a pattern, and open the store; as `fuzz_requests`."""
    rng = random.Random(f"{plan.seed} {pattern}")
    whole = store(plan, "fuzz-files")
    findings: list[str] = []
    outcomes: Counter[str] = Counter()
    while time.perf_counter() < until:
        copy = plan.folder / "fuzz-damaged"
        shutil.rmtree(copy, ignore_errors=True)
        shutil.copytree(whole, copy)
        path = rng.choice(sorted(found for found in copy.glob(pattern) if found.is_file()))
        path.write_bytes(damaged(path.read_bytes(), rng))
        number = outcomes.total()
        try:
            with nl.Recommender(copy) as engine:
                engine.recommend("u1")
                for _ in engine.recommend_many(["u2"])["user_id"]:
                    pass
            outcomes["opened"] += 1
        except NearlineError as error:
            outcomes[type(error).__name__] += 1
        except Exception as error:
            outcomes["crashed"] += 1
            findings.append(f"{path.relative_to(copy)}, seed {plan.seed}, {number}: {error!r:.300}")
    print(f"{pattern}: {dict(outcomes)}", flush=True)
    return outcomes.total(), findings


TARGETS: dict[str, Callable[[Plan, float], tuple[int, list[str]]]] = {
    "requests": lambda plan, until: asyncio.run(fuzz_requests(plan, until)),
    "snapshot": lambda plan, until: fuzz_files(plan, until, "snapshots/*/*"),
    "checkpoint": lambda plan, until: fuzz_files(plan, until, "*.checkpoint"),
    "log": lambda plan, until: fuzz_files(plan, until, "log.db"),
}


def main() -> None:
    """Parse the command line and fuzz all targets."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("targets", nargs="*", metavar="TARGET", help=", ".join(TARGETS))
    parser.add_argument("--minutes", type=float, default=10.0, help="for each target")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    logging.disable(logging.WARNING)  # each damaged snapshot is logged
    if unknown := set(options.targets) - set(TARGETS):
        parser.error(f"no such target: {', '.join(sorted(unknown))}")
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        plan = Plan(folder=Path(folder), users=USERS, items=ITEMS, seed=options.seed)
        for name in options.targets or TARGETS:
            count, findings = TARGETS[name](plan, time.perf_counter() + 60.0 * options.minutes)
            print(f"{name}: {count:,} inputs, {len(findings)} findings", flush=True)
            print("\n".join(findings[:20]))
            rows.append({"target": name, "inputs": count, "findings": findings[:100]})
    print(f"written to {machine.write('fuzz', vars(options), rows)}")
    sys.exit(any(row["findings"] for row in rows))


if __name__ == "__main__":
    main()
