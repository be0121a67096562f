"""Whatever the schema accepts as an event or as a user can be learned, stored and read back."""

from tempfile import TemporaryDirectory
from typing import Any

from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from nearline import Config, Event, Item, Recommender
from nearline.errors import InvalidInput
from nearline.schema.rules import check_event, check_item
from nearline.testing.inspector import inspect

NOW = 1.8e9

texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=8) | st.sampled_from(
    [
        "",
        "\0",
        "\n",
        " ",
        ".",
        "..",
        "/",
        "%2F",
        "é" * 256,
        "x" * 512,
        "x" * 513,
        "\u202e",
        "\ud800",
    ]
)
ids = st.sampled_from(["a", "b", "c", "d"]) | texts
numbers = st.floats() | st.sampled_from([0.0, -0.0, 5e-324, 1e15, -1e15, 1e16, 1e308])
scalars = texts | numbers | st.booleans() | st.integers(-(10**20), 10**20)
times = st.floats(NOW - 1e6, NOW) | st.sampled_from([0.0, -1e10, 1e300, NOW + 86_000, NOW + 1e9])
events = st.fixed_dictionaries(
    {"user_id": ids, "item_id": ids, "timestamp": times},
    optional={
        "event": st.sampled_from(["view", "purchase", "dislike"]) | texts,
        "event_id": ids,
        "value": numbers,
        "session_id": texts,
        "recommendation_id": texts,
        "context": st.dictionaries(texts, scalars, max_size=3),
    },
)
entries = st.fixed_dictionaries(
    {"item_id": ids, "timestamp": times},
    optional={
        "text": texts,
        "title": texts,
        "categories": st.lists(texts, max_size=2),
        "attributes": st.dictionaries(texts, scalars | st.lists(scalars, max_size=2), max_size=2),
        "vectors": st.dictionaries(texts, st.lists(numbers, max_size=3), max_size=2),
        "available": st.booleans(),
        "expires_at": numbers,
    },
)


def accepted(kind: Any, check: Any, fields: list[dict[str, Any]]) -> list[Any]:
    """Return the records that the rules accept."""
    found = []
    for values in fields:
        try:
            found.append(check(kind(**values), now=NOW))
        except InvalidInput:
            continue
    return found


def shown(rec: Recommender, users: list[str], items: list[str]) -> list[Any]:
    """Return all that can be read about some users and items."""
    return [
        *(rec.user(user) for user in users),
        *(rec.recommend(user, k=5) for user in users),
        *(rec.item(item) for item in items),
        *(rec.similar(item, k=5) for item in items),
    ]


@given(
    catalogue=st.lists(entries, max_size=4),
    history=st.lists(events, min_size=4, max_size=15),
)
@example(catalogue=[], history=[{"user_id": "a", "item_id": "b", "timestamp": -1e10}])
@example(
    catalogue=[{"item_id": "/", "timestamp": NOW, "vectors": {"..": [1e15, 5e-324]}}],
    history=[{"user_id": "..", "item_id": "/", "timestamp": NOW, "context": {"\n": 1e15}}],
)
@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_what_is_accepted_can_be_learned_stored_and_read_back(
    catalogue: list[dict[str, Any]], history: list[dict[str, Any]]
) -> None:
    stored = accepted(Event, check_event, history)
    put = accepted(Item, check_item, catalogue)
    first = {event.event_id or object(): event for event in reversed(stored)}
    users = sorted({event.user_id for event in first.values()})
    items = list(dict.fromkeys([entry.item_id for entry in put]))
    with TemporaryDirectory() as folder:
        with Recommender(folder, config=Config(online=True), clock=lambda: NOW) as rec:
            rec.put_items(put).result()
            rec.append_events(stored).result()
            live = shown(rec, users, items)
            records = list(inspect(rec).log.read())
            rec.checkpoint()
            if stored:
                rec.fit()
            fitted = shown(rec, users, items)
        with Recommender(folder, clock=lambda: NOW) as again:
            assert list(inspect(again).log.read()) == records
            assert shown(again, users, items) == fitted
            assert len(live) == len(fitted)
            for user in users:
                again.forget(user).result()
            assert inspect(again).state.counters.events == 0
        for entry in put:
            assert entry in [record for _, record in records]
