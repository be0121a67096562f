"""Lists after an erasure where items have more pairs than edges."""

from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import nearline as nl
from nearline.config import Config

FEW_EDGES = Config(
    settings={
        "transitions": {"neighbours": 2},
        "coengagement": {"neighbours": 2},
        "search": {"evaluations": 0},
    }
)
ITEMS = "abcdefgh"
# Each of the users goes once around the items, from one of their own, and stops after five.
SHOP = pa.table(
    {
        "user_id": [f"u{at % 8}" for at in range(40)],
        "item_id": [ITEMS[(at % 8 + at // 8 * (1 + at % 3)) % 8] for at in range(40)],
        "timestamp": [1.6e9 + 60.0 * at for at in range(40)],
    }
)


def answers(rec: nl.Recommender) -> list[Any]:
    lists = [[*rec.recommend(f"u{number}", k=8)] for number in range(8)]
    lists += [[*rec.similar(item, 8)] for item in ITEMS]
    return [[(line.item_id, line.score) for line in lines] for lines in lists]


def store(rec: nl.Recommender, user: str, items: str) -> None:
    rec.append_events(
        [
            nl.Event(user_id=user, item_id=item, timestamp=1.6e9 + 9_000.0 + at)
            for at, item in enumerate(items)
        ]
    ).result()


@pytest.fixture(scope="module")
def shop() -> Any:
    with nl.Recommender(config=FEW_EDGES, clock=lambda: 1.7e9).fit(SHOP) as rec:
        yield rec


def test_a_pair_that_only_an_erased_user_changed_is_no_edge(shop: nl.Recommender) -> None:
    before = answers(shop)
    store(shop, "fake", ITEMS[::-1])
    assert answers(shop) != before
    shop.forget("fake").result()
    assert answers(shop) == before


@settings(deadline=None, max_examples=25)
@given(st.text(ITEMS, min_size=1, max_size=12), st.text(ITEMS, min_size=1, max_size=6))
def test_lists_after_an_erasure_are_those_of_a_log_without_the_user(
    erased: str, stays: str
) -> None:
    found = []
    for given_ in ([("fake", erased), ("real", stays)], [("real", stays)]):
        with nl.Recommender(config=FEW_EDGES, clock=lambda: 1.7e9).fit(SHOP) as rec:
            for user, items in given_:
                store(rec, user, items)
            rec.forget("fake").result()
            found.append(answers(rec))
    assert found[0] == found[1]
