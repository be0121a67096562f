"""Rules, pages, caps and repeats in lists of similar items, searches and rankings."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nearline import Recommender
from nearline.errors import InvalidInput

N = 12
SHELVES = {f"i{n:02}": n % 3 for n in range(N)}


@pytest.fixture(scope="module")
def rec() -> Recommender:
    """A store of twelve items, which three users all know, so that all are similar."""
    engine = Recommender(clock=lambda: 1e9)
    for item, shelf in SHELVES.items():
        engine.put_item(item, text="green tea", attributes={"shelf": shelf})
    for user in range(3):
        for at, item in enumerate(SHELVES):
            engine.observe(f"u{user}", item, timestamp=9e8 + 100 * user + at)
    engine.observe("reader", "i00")
    engine.fit()
    return engine


def ids(found: list[Any]) -> list[str]:
    return [line.item_id for line in found]


def shelves(found: list[Any]) -> list[int]:
    return [SHELVES[line.item_id] for line in found]


@pytest.fixture
def rule(rec: Recommender, request: pytest.FixtureRequest) -> Any:
    """Return a function that defines rules which do not outlive the test."""

    def define(name: str, **body: Any) -> None:
        rec.put_rule(name, **body)
        request.addfinalizer(lambda: rec.delete_rule(name))

    return define


def test_pages_of_similar_items_contain_each_item_once(rec: Recommender) -> None:
    complete = ids(rec.similar("i00", 11))
    assert sorted(complete) == sorted(set(SHELVES) - {"i00"})
    pages, cursor = [], None
    while True:
        page = rec.similar("i00", 4, cursor=cursor)
        pages.append(ids(page))
        cursor = page.next
        if cursor is None:
            break
    assert pages == [complete[:4], complete[4:8], complete[8:]]


def test_a_cursor_belongs_to_its_request(rec: Recommender) -> None:
    cursor = rec.similar("i00", 3).next
    assert cursor is not None
    assert len(rec.similar("i00", 2, cursor=cursor)) == 2
    for item, options in (("i01", {}), ("i00", {"filter": "shelf == 1"}), ("i00", {"user": "u1"})):
        with pytest.raises(InvalidInput, match="another request"):
            rec.similar(item, 3, cursor=cursor, **options)
    with pytest.raises(InvalidInput, match="cursor"):
        rec.similar("i00", 3, cursor=cursor[:-2] + "xx")


def test_buried_items_follow_all_others(rec: Recommender, rule: Any) -> None:
    plain = {"similar": rec.similar("i00", 11), "search": rec.search("tea", 12)}
    plain["rank"] = rec.rank("reader", list(SHELVES))
    rule("sink", bury={"filter": "shelf == 1"})
    found = {"similar": rec.similar("i00", 11), "search": rec.search("tea", 12)}
    found["rank"] = rec.rank("reader", list(SHELVES))
    for name, lines in found.items():
        order = ids(plain[name])
        expected = [i for i in order if SHELVES[i] != 1] + [i for i in order if SHELVES[i] == 1]
        assert ids(lines) == expected, name
        assert lines.rules == ("sink",)
    assert 1 not in shelves(rec.similar("i00", 5))


def test_scaled_scores_are_multiplied(rec: Recommender, rule: Any) -> None:
    plain = {line.item_id: line.score for line in rec.similar("i00", 11)}
    rule("double", scale={"filter": "shelf == 2", "factor": 100})
    found = rec.similar("i00", 11)
    assert {line.item_id: line.score for line in found} == pytest.approx(
        {item: score * (100 if SHELVES[item] == 2 else 1) for item, score in plain.items()}
    )
    assert shelves(found[:4]) == [2] * 4
    assert shelves(rec.rank("reader", ["i01", "i02"])) == [2, 1]


def test_pins_hold_only_in_the_scenario_that_the_rule_names(rec: Recommender, rule: Any) -> None:
    last = ids(rec.similar("i00", 11))[-1]
    rec.put_scenario("detail", k=5)
    rule("everywhere", pin={"item_id": last, "position": 1})
    rule("there", scenario="detail", pin={"item_id": last, "position": 2})
    assert last not in ids(rec.similar("i00", 5))
    found = rec.similar("i00", 5, scenario="detail")
    assert ids(found)[1] == last
    assert found.rules == ("there",)
    assert len(found) == 5
    rec.delete_scenario("detail")


def test_caps_count_buried_items_too(rec: Recommender, rule: Any) -> None:
    rule("sink", bury={"filter": "shelf == 1"})
    found = shelves(rec.similar("i00", 11, max_per={"shelf": 2}))
    assert sorted(found) == [0, 0, 1, 1, 2, 2]
    assert found[-2:] == [1, 1]
    assert len(rec.rank("reader", list(SHELVES), max_per={"shelf": 1})) == 3


def test_repeats(rec: Recommender) -> None:
    everything = list(SHELVES)
    assert "i00" in ids(rec.similar("i01", 11, user="reader"))
    assert "i00" not in ids(rec.similar("i01", 11, user="reader", repeats="exclude"))
    assert len(rec.rank("reader", everything)) == N
    assert "i00" not in ids(rec.rank("reader", everything, repeats="exclude"))
    assert len(rec.rank("reader", everything, repeats="include")) == N
    with pytest.raises(InvalidInput, match="repeats"):
        rec.similar("i01", repeats="sometimes")


@given(
    st.lists(st.sampled_from([*SHELVES, "unknown"]), max_size=20),
    st.sampled_from([None, 0.0, 0.4, 1.0]),
    st.sampled_from([None, "mmr", "dpp"]),
)
def test_rank_with_diversity_is_a_permutation(
    rec: Recommender, items: list[str], strength: float | None, method: str | None
) -> None:
    plain = rec.rank("reader", items)
    found = rec.rank("reader", items, diversity=strength, diversity_method=method)
    assert sorted(ids(found)) == sorted(items)
    if not strength:
        assert found == plain
    assert {line.item_id: line.score for line in found} == {
        line.item_id: line.score for line in plain
    }
