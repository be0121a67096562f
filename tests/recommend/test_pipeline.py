"""One pipeline: single lists, batches, exports and late lists follow the same rules."""

import io
import os
import sys
import tempfile
from itertools import groupby
from types import FrameType
from typing import Any

import msgspec
import numpy as np
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from litestar.testing import TestClient
from pyarrow import dataset as ds
from tests.server.serving import wait_until_ready

import nearline as nl
from nearline.data import synthetic_shop
from nearline.kernels.scoring import recommend_rows
from nearline.models.item_graph import scores as item_graph
from nearline.models.registry import discover
from nearline.recommend.answers import recommendation_id
from nearline.schema import RecommendationRequest
from nearline.server import create_app
from nearline.testing.inspector import inspect

NOW = 1.75e9
# NEARLINE_EXAMPLES=1000 draws as many stores and requests; the suite draws fewer.
EXAMPLES = int(os.environ.get("NEARLINE_EXAMPLES", "40"))
QUICK = nl.Config(settings={"search": {"evaluations": 0}})

USERS = [f"u{n}" for n in range(6)]
ITEMS = [f"i{n}" for n in range(9)]
LABELS = ["tea", "mug"]
COUNTRIES = ["FR", "DE"]

event = st.fixed_dictionaries(
    {
        "user_id": st.sampled_from(USERS),
        "item_id": st.sampled_from(ITEMS),
        "event": st.sampled_from(["view", "purchase", "dislike"]),
        "context": st.none() | st.fixed_dictionaries({"country": st.sampled_from(COUNTRIES)}),
    }
)
entry = st.fixed_dictionaries(
    {
        "item_id": st.sampled_from([*ITEMS, "new"]),
        "text": st.sampled_from(["", "green tea", "blue mug", "tea mug"]),
        "categories": st.lists(st.sampled_from(LABELS), max_size=2, unique=True),
        "available": st.booleans(),
    }
)
options = st.fixed_dictionaries(
    {"k": st.integers(1, 12), "exclude_seen": st.booleans()},
    optional={
        "category": st.sampled_from([*LABELS, "none"]),
        "exclude": st.lists(st.sampled_from([*ITEMS, "unknown"]), max_size=4),
        "context": st.fixed_dictionaries({"country": st.sampled_from([*COUNTRIES, "IT"])}),
        "preferences": st.sampled_from(["tea", "blue mug", "nothing of it"]),
        "diversity": st.sampled_from([0.0, 0.3, 1.0]),
        "diversity_method": st.sampled_from(["mmr", "dpp"]),
        "calibration": st.sampled_from([0.0, 0.5]),
    },
)


def make(events: list[dict[str, Any]], entries: list[dict[str, Any]]) -> nl.Recommender:
    rec = nl.Recommender(config=QUICK, clock=lambda: NOW)
    kept = [one for one in events if one["event"] != "dislike"]
    if kept:
        columns = {name: [one[name] for one in kept] for name in ("user_id", "item_id", "event")}
        rec.fit(pa.table(columns | {"timestamp": [NOW - 1e4 + n for n in range(len(kept))]}))
    for n, one in enumerate(events):
        rec.observe(**one, timestamp=NOW - 1e3 + n)
    for one in entries:
        rec.put_item(**one, timestamp=NOW)
    return rec


@settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(event, max_size=30), st.lists(entry, max_size=8), options)
def test_single_list_equals_its_row_of_the_batch_and_of_the_export(
    events: list[dict[str, Any]], entries: list[dict[str, Any]], asked: dict[str, Any]
) -> None:
    with make(events, entries) as rec, tempfile.TemporaryDirectory() as folder:
        many = rec.recommend_many([*USERS, "stranger"], **asked).to_pylist()
        rec.export(f"{folder}/lists", users=[*USERS, "stranger"], **asked)
        exported = ds.dataset(f"{folder}/lists").to_table().to_pylist()
        catalogue = {row["item_id"]: row for row in entries}
        for user in [*USERS, "stranger"]:
            single = [(line.item_id, line.score) for line in rec.recommend(user, **asked)]
            assert single == [(r["item_id"], r["score"]) for r in many if r["user_id"] == user]
            assert single == [(r["item_id"], r["score"]) for r in exported if r["user_id"] == user]
            late = rec.answer(
                msgspec.convert({**asked, "user_id": user}, RecommendationRequest), late=True
            )
            for listed in (
                [item for item, _ in single],
                [line.item_id for line in late.items],
            ):
                expected = allowed(user, events, catalogue, asked)
                assert len(listed) == len(set(listed)) == min(asked["k"], len(expected))
                assert set(listed) <= expected


def allowed(
    user: str, events: list[dict[str, Any]], entries: dict[str, Any], asked: dict[str, Any]
) -> set[str]:
    """Return the items that may be listed, by the definition of each rule."""
    known = {one["item_id"] for one in events} | set(entries)
    found = {item for item in known if entries.get(item, {}).get("available", True)}
    if "category" in asked:
        found = {i for i in found if asked["category"] in entries.get(i, {}).get("categories", ())}
    mine = [one for one in events if one["user_id"] == user]
    out = {one["item_id"] for one in mine if asked["exclude_seen"]}
    for one in mine:
        # A purchase (weight 3) takes a dislike (-1) back, and a view (1) does not.
        if one["event"] == "dislike":
            out.add(one["item_id"])
        elif one["event"] == "purchase" and not asked["exclude_seen"]:
            out.discard(one["item_id"])
    return found - out - set(asked.get("exclude", ()))


def tables() -> dict[str, tuple[pa.Table, pa.Table]]:
    """Three data sets: a shop, random pairs, and groups with dislikes among them."""
    shop = synthetic_shop(users=60, items=40, events=600, seed=0)
    assert shop.items is not None
    entries = pa.table(
        {
            "item_id": [item.item_id for item in shop.items],
            "text": [item.content for item in shop.items],
        }
    )
    rng = np.random.default_rng(0)
    pairs = {
        "user_id": [f"u{n}" for n in rng.integers(0, 30, 300)],
        "item_id": [f"i{n}" for n in rng.integers(0, 25, 300)],
        "timestamp": NOW - 1e6 + np.arange(300.0),
    }
    users = np.repeat(np.arange(40), 6)
    group = {
        "user_id": [f"u{n}" for n in users],
        "item_id": [
            f"i{(n % 3) * 10 + m}" for n, m in zip(users, rng.integers(0, 10, 240), strict=True)
        ],
        "timestamp": NOW - 1e6 + np.arange(240.0),
    }
    texts = pa.table(
        {"item_id": [f"i{n}" for n in range(30)], "text": [f"kind{n % 3} no{n}" for n in range(30)]}
    )
    return {
        "shop": (shop.interactions, entries),
        "random": (pa.table(pairs), texts),
        "groups": (pa.table(group), texts),
    }


TABLES = tables()
SERVING = sorted(name for name, kind in discover().items() if not kind.needs_ratings)
BRIEF = {"training": {"epochs": 1, "batch": 256}, "width": 8}
SETTINGS: dict[str, dict[str, Any]] = {
    "item_graph": {"search": {"evaluations": 0}},
    "gru4rec": BRIEF | {"hidden": 8},
    "nextitnet": BRIEF,
    "two_tower": BRIEF | {"hidden": 8},
    "sasrec": BRIEF | {"blocks": 1},
    "ncf": BRIEF | {"hidden": [8]},
}


@pytest.mark.parametrize("data", TABLES)
@pytest.mark.parametrize("name", SERVING)
def test_items_that_the_model_ranks_come_first_and_are_personal(name: str, data: str) -> None:
    config = nl.Config(model=name, settings=SETTINGS.get(name, {}), trial_users=0)
    interactions, items = TABLES[data]
    with nl.Recommender(config=config, clock=lambda: NOW).fit(interactions, items) as rec:
        deployment = inspect(rec)
        state, model = deployment.state, deployment.model
        for user in state.user_ids()[:10]:
            ranked = model.recommend_from(
                state.histories_of([user]), 10, allowed=state.catalogue.available()[: model.n_items]
            )
            expected = [state.items.id_of(item) for item in ranked.items[0].tolist() if item >= 0]
            answer = rec.recommend(user, 10)
            assert [line.item_id for line in answer][: len(expected)] == expected
            tiers = [line.tier for line in answer]
            assert tiers[: len(expected)] == ["personal"] * len(expected)
            assert "personal" not in tiers[len(expected) :]


FIELDS: dict[str, st.SearchStrategy[Any]] = {
    "user_id": st.none() | st.text(max_size=3),
    "history": st.none() | st.lists(st.text(max_size=2), max_size=3).map(tuple),
    "k": st.none() | st.integers(1, 1000),
    "exclude_seen": st.none() | st.booleans(),
    "repeats": st.sampled_from((None, "exclude", "include", "auto")),
    "category": st.none() | st.text(max_size=3),
    "exclude": st.lists(st.text(max_size=2), max_size=3).map(tuple),
    "explain": st.booleans(),
    "rerank": st.booleans(),
    "context": st.none() | st.dictionaries(st.text(max_size=2), st.integers() | st.text()),
    "preferences": st.none() | st.text(max_size=3),
    "filter": st.none() | st.text(max_size=3),
    "boost": st.none() | st.text(max_size=3),
    "min_score": st.none() | st.floats(-2, 2),
    "fields": st.lists(st.text(max_size=2), max_size=3).map(tuple),
    "diversity": st.none() | st.floats(0, 1),
    "diversity_method": st.sampled_from((None, "mmr", "dpp")),
    "calibration": st.none() | st.floats(0, 1),
    "max_per": st.none() | st.dictionaries(st.text(max_size=2), st.integers(1, 9), max_size=2),
    "max_shown": st.none() | st.fixed_dictionaries({"times": st.floats(1, 9)}),
    "rotation": st.none() | st.floats(0, 1),
    "explore": st.none() | st.dictionaries(st.text(max_size=2), st.floats(0, 1), max_size=2),
    "profiling": st.none() | st.booleans(),
    "track": st.none() | st.booleans(),
    "cursor": st.none() | st.text(max_size=3),
    "scenario": st.none() | st.text(max_size=3),
}
requests = st.builds(RecommendationRequest, **FIELDS)


def test_every_field_of_a_request_is_drawn() -> None:
    assert set(FIELDS) == set(RecommendationRequest.__struct_fields__)


@settings(max_examples=300, deadline=None)
@given(requests, requests, st.sampled_from(sorted(FIELDS)), st.data())
def test_ids_differ_if_and_only_if_requests_do(
    one: RecommendationRequest, other: RecommendationRequest, field: str, data: st.DataObject
) -> None:
    changed = msgspec.structs.replace(one, **{field: data.draw(FIELDS[field])})
    for second in (other, changed):
        same = recommendation_id(one, "m", 7, "full") == recommendation_id(second, "m", 7, "full")
        assert same == (one == second)
    again = msgspec.convert(msgspec.to_builtins(one), RecommendationRequest)
    assert recommendation_id(one, "m", 7) == recommendation_id(again, "m", 7)
    assert len({recommendation_id(one, *rest) for rest in IDENTITIES}) == len(IDENTITIES)


IDENTITIES: list[Any] = [("m", 7), ("m", 8), ("n", 7), ("m", 7, "late"), ("m", 7, (1, 2))]


def stack_of_package(frame: FrameType | None) -> list[tuple[str, str]]:
    """Return file and name of the functions of the package on the stack, outermost first."""
    found = []
    while frame is not None:
        path = frame.f_code.co_filename
        if "/nearline/" in path and "/testing/" not in path:
            found.append((path.rpartition("/nearline/")[2], frame.f_code.co_name))
        frame = frame.f_back
    return found[::-1]


def test_a_request_reaches_the_kernel_in_eight_functions_without_returning_to_a_file(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    interactions, items = TABLES["shop"]
    stacks: list[list[tuple[str, str]]] = []

    def record(*arguments: Any, **named: Any) -> Any:
        stacks.append(stack_of_package(sys._getframe(1)))
        return recommend_rows(*arguments, **named)

    monkeypatch.setattr(item_graph, "recommend_rows", record)
    rec = nl.Recommender(config=QUICK, clock=lambda: NOW).fit(interactions, items)
    user = inspect(rec).state.user_ids()[0]
    with TestClient(create_app(lambda: rec, log_stream=io.StringIO())) as client:
        wait_until_ready(client.get)
        stacks.clear()
        rec.recommend(user)
        path = f"/v1/users/{user}/recommendations"
        for query in ("", "?explain=true"):
            assert client.get(path + query).status_code == 200
    from_python, plain, routed = stacks
    middleware = ("server/middleware/plain_lists.py", "_answer")
    handler = ("server/routes/recommendations.py", "recommend")
    walks = (from_python, plain[plain.index(middleware) :], routed[routed.index(handler) :])
    for stack in walks:
        visited = [file for file, _ in groupby(file for file, _ in stack)]
        assert len(visited) == len(set(visited)), stack
        # The kernel itself is the last function.
        assert len(stack) + 1 <= 8, stack
