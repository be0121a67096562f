"""A later, opposite opinion replaces the earlier one, wherever events come from."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from litestar.testing import TestClient
from tests.server.serving import wait_until_ready

import nearline as nl
from nearline.kernels import counted_events
from nearline.server import create_app
from nearline.state import StateConfig
from nearline.testing.inspector import inspect

NOW = 1_700_000_000.0
QUICK = nl.Config(settings={"search": {"evaluations": 0}})
Step = tuple[str, str, str]
steps = st.lists(
    st.tuples(
        st.sampled_from("abc"),
        st.sampled_from("wxyz"),
        st.sampled_from(["view", "like", "dislike", "skip", "refund"]),
    ),
    max_size=14,
)
WEIGHTS = {"view": 1.0, "like": 2.0, "dislike": -1.0, "skip": -0.5, "refund": -1.0}


@pytest.fixture(autouse=True, scope="module")
def every_event_counts() -> Iterator[None]:
    """Superseded events take up the limits, so a store without them would count others."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(counted_events, "LIMITS", counted_events.CountedLimits(1_000, 1_000))
        yield


def observe(rec: nl.Recommender, numbered: list[tuple[int, Step]]) -> None:
    for at, (user, item, kind) in numbered:
        rec.observe(user, item, kind, timestamp=NOW + at, event_id=f"e{at}")


def remaining(numbered: list[tuple[int, Step]]) -> list[tuple[int, Step]]:
    """Leave out superseded events by the definition; numbers are times."""
    kept = []
    for at, (user, item, kind) in numbered:
        same = [(t, WEIGHTS[k]) for t, (u, i, k) in numbered if (u, i) == (user, item)]
        against = any(
            weight < 0 and all(later <= -weight for t, later in same if t > when)
            for when, weight in same
        )
        if (WEIGHTS[kind] < 0) == against:
            kept.append((at, (user, item, kind)))
    return kept


def seen(rec: nl.Recommender) -> dict[str, Any]:
    """Counts by item, pairs of the item graph, and lists with seen items of three users."""
    parts = inspect(rec)
    names = parts.state.items.table()
    totals, trending = parts.state.counters.of(np.arange(len(names), dtype=np.int32), NOW)
    pairs = {
        name: {line.item_id: line.score for line in rec.similar(name, 9) if line.score > 0}
        for name in names
    }
    lists = {
        user: [(line.item_id, line.score) for line in rec.recommend(user, 9, exclude_seen=False)
               if line.score > 0]
        for user in "abc"
    }  # fmt: skip
    return {
        "totals": {name: n for name, n in zip(names, totals, strict=True) if n},
        "trending": {
            name: pytest.approx(n, rel=1e-9)
            for name, n in zip(names, trending, strict=True)
            if n > 1e-9
        },
        "pairs": {name: found for name, found in pairs.items() if found},
        "lists": {user: dict(sorted(found)) for user, found in lists.items()},
    }


@given(events=steps, order=st.randoms(use_true_random=False), gone=st.integers(0, 13))
@settings(max_examples=60, deadline=None)
def test_counts_and_lists_are_those_of_a_store_that_never_saw_superseded_events(
    events: list[Step], order: Any, gone: int
) -> None:
    """Events arrive in any order, and one of them is deleted at the end."""
    numbered = list(enumerate(events))
    arrival = order.sample(numbered, len(numbered))
    with nl.Recommender(clock=lambda: NOW) as rec, nl.Recommender(clock=lambda: NOW) as other:
        for item in "wxyz":  # the same indices in both
            rec.put_item(item, timestamp=NOW)
            other.put_item(item, timestamp=NOW)
        observe(rec, arrival)
        rec.delete_event(f"e{gone}").result()
        observe(other, remaining([one for one in numbered if one[0] != gone]))
        assert seen(rec) == seen(other)
        rec.forget("a").result()
        other.forget("a").result()
        assert seen(rec) == seen(other)


def test_like_then_dislike_and_back() -> None:
    with nl.Recommender(clock=lambda: NOW) as rec:
        rec.observe("u", "tea", "like", timestamp=NOW)
        rec.observe("u", "pot", "view", timestamp=NOW)
        assert [line.item_id for line in rec.recommend("v", 1)] == ["tea"]
        rec.observe("u", "tea", "dislike", timestamp=NOW + 1, event_id="no")
        assert inspect(rec).state.counters.totals().tolist() == [0, 1]
        assert [line.item_id for line in rec.recommend("u", 5, exclude_seen=False)] == ["pot"]
        rec.observe("u", "tea", "view", timestamp=NOW + 2)  # not an opinion
        assert inspect(rec).state.counters.totals().tolist() == [0, 1]
        # The history lists all events.
        assert [past.weight for past in rec.user("u").history] == [1, -1, 1, 2]
        rec.delete_event("no").result()
        assert inspect(rec).state.counters.totals().tolist() == [2, 1]
        rec.observe("u", "pot", "dislike", timestamp=NOW)
        rec.observe("u", "pot", "like", timestamp=NOW + 3)
        assert inspect(rec).state.counters.totals().tolist() == [2, 2]
        listed = {line.item_id for line in rec.recommend("u", 5, exclude_seen=False)}
        assert listed == {"tea", "pot"}


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("like", "dislike"),
        ("thumbs_up", "thumbs_down"),
        ("Upvote", "downvote"),
        ("purchase", "refund"),
        ("add_to_cart", "remove_from_cart"),
        ("wishlist", "removeFromWishlist"),
        ("follow", "unfollow"),
        ("save", "hide"),
        ("share", "report"),
        ("rating", "low_rating"),
        ("my_kind", "my_veto"),
    ],
)
def test_pairs_of_kinds(first: str, second: str) -> None:
    state = StateConfig(event_weights={"my_kind": 1.5, "my_veto": -4.0})
    config = nl.Config(state=state)
    with nl.Recommender(config=config, clock=lambda: NOW) as rec:
        rec.observe("u", "tea", first, timestamp=NOW)
        assert inspect(rec).state.counters.totals().tolist() == [1]
        rec.observe("u", "tea", second, timestamp=NOW + 1)
        assert inspect(rec).state.counters.totals().tolist() == [0]
        assert rec.recommend("u", 5, exclude_seen=False) == []


def test_over_http(tmp_path: Path) -> None:
    app = create_app(lambda: nl.Recommender(tmp_path / "shop", clock=lambda: NOW + 9))
    with TestClient(app) as client:
        wait_until_ready(client.get)
        for at, (user, kind) in enumerate([("v", "view"), ("u", "like"), ("u", "dislike")]):
            event = {"user_id": user, "item_id": "tea", "event": kind, "timestamp": NOW + at}
            assert client.post("/v1/events", json=event).is_success
        answer = client.get("/v1/users/u/recommendations?exclude_seen=false")
        assert answer.json()["items"] == []
    with nl.Recommender(tmp_path / "shop") as rec:
        assert inspect(rec).state.counters.totals().tolist() == [1]


def test_training_sees_what_remains(tmp_path: Path) -> None:
    """A store with superseded events trains the same model as one without them."""
    rng = np.random.default_rng(3)
    kinds = ["view", "like", "dislike", "skip"]
    events = [
        ("abc"[rng.integers(3)], "wxyz"[rng.integers(4)], kinds[rng.integers(4)]) for _ in range(40)
    ]
    numbered = list(enumerate(events))
    found = []
    for rows in (numbered, remaining(numbered)):
        table = pa.table(
            {
                "user_id": [user for _, (user, _, _) in rows],
                "item_id": [item for _, (_, item, _) in rows],
                "event": [kind for _, (_, _, kind) in rows],
                "timestamp": [NOW + at for at, _ in rows],
            }
        )
        items = pa.table({"item_id": list("wxyz")})
        with nl.Recommender(tmp_path / str(len(rows)), config=QUICK, clock=lambda: NOW) as rec:
            rec.add(items=items)
            rec.add(table)
            rec.fit()
            found.append(seen(rec))
    assert len(numbered) > len(remaining(numbered)) > 0
    assert found[0] == found[1]
