"""Scenario: promotions and rollbacks under load, which must not cause wrong responses."""

import time
from collections.abc import Iterator
from itertools import cycle
from pathlib import Path
from typing import Any

from nearline.bench.generate import Load, failures
from nearline.bench.harness import OK, BenchFailed, Server
from nearline.bench.plan import Figure, Plan, ScenarioReport, figure, repeated
from nearline.bench.shop import store

SNAPSHOTS = "/v1/snapshots"
RATE, SWITCHES = 5_000.0, 100
# Fraction of the target rate that must be reached.
KEPT = 0.95
# Number of users whose lists under both models are known.
KNOWN = 200
OTHER_MODEL = "popularity"

Lists = dict[str, list[str]]


def run(plan: Plan) -> ScenarioReport:
    """Switch between two snapshots under load, and check all responses.

    A list is correct if it is equal to the list that the model named in the response returns when
    there is no load.
    """
    shop = store(plan, "promotion")
    with Server.of(shop) as server:
        snapshot_ids(server, 1)  # fail early if the route is missing
    _train_another(shop)
    users = [f"u{n}" for n in range(min(KNOWN, plan.users))]
    with Server.of(shop) as server:
        ids = snapshot_ids(server, 2)
        known: dict[str, Lists] = {}
        for snapshot_id in ids:
            _post(server, f"{SNAPSHOTS}/{snapshot_id}:promote")
            known |= _lists(server, users)
        if len(known) < len(ids):
            raise BenchFailed(f"{len(ids)} snapshots were promoted and {len(known)} answered")

        def measure() -> list[Figure]:
            given = {"rate": RATE, "lists": known, "known_users": users}
            with Load(plan, server.port, "checked", **given) as load:
                switches, slowest = _switch(plan, server, load, ids)
                found = load.answer()
            read = found["records"]["read"]
            rate = read["count"] / found["seconds"]
            return [
                figure("promotions and rollbacks", "", switches),
                figure("slowest switch", "ms", slowest * 1e3),
                figure("reads a second", "1/s", rate, at_least=KEPT * RATE),
                figure("reads, p99", "ms", read["ms"]["p99"]),
                figure("failed or mixed", "", sum(failures(found).values()), at_most=0),
            ]

        figures = repeated(plan, "promotions under load", measure)
    notes = [
        f"open loop at {RATE:,.0f} reads a second; the lists of {len(users)} users are checked"
    ]
    return ScenarioReport(figures=figures, notes=notes)


def snapshot_ids(server: Server, expected: int) -> list[str]:
    """Return the IDs of the snapshots in a server's store, in the order of the server.

    Raises
    ------
    BenchFailed
        The server has no such route, or the number of snapshots is not `expected`.
    """
    status, body = server.ask("GET", SNAPSHOTS)
    if status != OK:
        raise BenchFailed(
            f"GET {SNAPSHOTS} gave {status}: this server cannot promote snapshots while it serves; "
            "the scenario needs a version that can"
        )
    entries = body["snapshots"] if isinstance(body, dict) else body
    ids = [entry["id"] for entry in entries]
    if len(ids) != expected:
        raise BenchFailed(f"the store has snapshots {ids}; {expected} were made")
    return ids


def _train_another(shop: Path) -> None:
    """Train another model on the events of a store, and promote its snapshot."""
    from nearline.config import Config
    from nearline.engine import Recommender

    with Recommender(shop, config=Config(model=OTHER_MODEL)) as engine:
        engine.fit()


def _lists(server: Server, users: list[str]) -> dict[str, Lists]:
    """Return the lists of some users: item IDs by the ID of the active model and by user."""
    found: dict[str, Lists] = {}
    for user in users:
        body = server.get(f"/v1/users/{user}/recommendations?k=10")
        found.setdefault(body["model"], {})[user] = [line["item_id"] for line in body["items"]]
    return found


def _switch(plan: Plan, server: Server, load: Load, ids: list[str]) -> tuple[int, float]:
    """Promote both snapshots and roll back in turn, at equal intervals during the load.

    A switch that takes longer than the interval delays the following ones.

    Returns
    -------
    int, float
        Number of switches, and seconds of the slowest one.
    """
    steps = _steps(ids)
    started, share = time.perf_counter(), plan.seconds / (SWITCHES + 1)
    done, slowest = 0, 0.0
    while done < SWITCHES:
        load.wait(max(started + (done + 1) * share - time.perf_counter(), 0.0))
        if not load.running:
            break
        begin = time.perf_counter()
        _post(server, next(steps))
        slowest = max(slowest, time.perf_counter() - begin)
        done += 1
    return done, slowest


def _steps(ids: list[str]) -> Iterator[str]:
    first, second = (f"{SNAPSHOTS}/{snapshot_id}:promote" for snapshot_id in ids)
    # The rollback changes from the second snapshot to the first, which was promoted before it.
    return cycle([first, second, f"{SNAPSHOTS}:rollback"])


def _post(server: Server, path: str) -> Any:
    status, body = server.ask("POST", path)
    if status != OK:
        raise BenchFailed(f"POST {path} gave {status}: {body}")
    return body
