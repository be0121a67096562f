"""Scenario: recommendations for many users in one call, compared with one call per user."""

import time

from nearline.bench.generate import ask, no_failure
from nearline.bench.harness import OK, Server
from nearline.bench.plan import Figure, Plan, ScenarioReport, figure, repeated
from nearline.bench.shop import store

ROUTE = "/v1/recommendations:batch"
# Number of users in a batch call over HTTP, and maximum number of users requested one by one.
TOGETHER, ONE_BY_ONE = 1_000, 2_000
LONGEST_SECONDS = 120.0


def run(plan: Plan) -> ScenarioReport:
    """Measure users per second with one call for all users and with one call per user.

    Both are measured in process and, if the server has a batch route, over HTTP.
    """
    from nearline.engine import Recommender

    shop = store(plan, "batch")
    users = [f"u{n}" for n in range(plan.users)]
    few = users[:ONE_BY_ONE]
    notes = ["in process, without HTTP: recommend_many for all users, recommend for a sample"]
    with Recommender(shop) as engine:
        engine.recommend_many(few[:10])
        engine.recommend(few[0])

        def measure() -> list[Figure]:
            begin = time.perf_counter()
            engine.recommend_many(users)
            middle = time.perf_counter()
            for user in few:
                engine.recommend(user)
            end = time.perf_counter()
            together, single = len(users) / (middle - begin), len(few) / (end - middle)
            return [
                figure("recommend_many", "users/s", together),
                figure("recommend, one by one", "users/s", single),
                figure("ratio", "", together / single, at_least=1.0),
            ]

        figures = repeated(plan, "batch", measure)
    with Server.of(shop) as server:
        over_http = _over_http(plan, server, users[:TOGETHER])
    if not over_http:
        notes.append(f"this server has no POST {ROUTE}: not measured over HTTP")
    return ScenarioReport(figures=figures + over_http, notes=notes)


def _over_http(plan: Plan, server: Server, users: list[str]) -> list[Figure]:
    if server.ask("POST", ROUTE, {"user_ids": users[:1]})[0] != OK:
        return []
    # The length of the lists differs between repeats, so that no list is in the server's cache.
    lengths = iter(range(10, 11 + plan.repeats))

    def measure() -> list[Figure]:
        k = next(lengths)
        begin = time.perf_counter()
        server.ask("POST", ROUTE, {"user_ids": users, "k": k})
        together = len(users) / (time.perf_counter() - begin)
        given = {"connections": 1, "count": len(users), "seconds": LONGEST_SECONDS, "k": k}
        found = ask(plan, server.port, "walk", **given)
        single = no_failure(found)["read"]["count"] / found["seconds"]
        return [
            figure("batch route", "users/s", together),
            figure("one request a user, one connection", "users/s", single),
            figure("ratio over HTTP", "", together / single, at_least=1.0),
        ]

    return repeated(plan, "batch over HTTP", measure)
