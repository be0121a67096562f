"""Questions around items: search, counts, audiences, listings, and similar items for a user."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.engine.shop import NOW, catalogue, clock, shop

import nearline as nl
from nearline.config import Config
from nearline.errors import InvalidInput, UnknownItem
from nearline.recommend import audience as audiences
from nearline.schema.questions import ItemsRequest, UsersRequest


def ids(lines: Any) -> list[str]:
    return [line.item_id for line in lines]


# Search


def test_an_item_is_found_at_once_and_not_after_it_is_gone() -> None:
    with nl.Recommender() as rec:  # never trained
        rec.put_item("pot", title="Teapot", attributes={"brand": "Acme", "url": "http://x/y"})
        assert ids(rec.search("tea")) == ids(rec.search("ACME")) == ["pot"]
        assert rec.search("http") == []
        rec.put_item("cup", text="A cup for coffee", categories=["kitchen=Cups"])
        assert ids(rec.search("coffee")) == ids(rec.search("cups")) == ["cup"]
        rec.patch_item("cup", {"text": "A cup for cocoa"})
        assert (ids(rec.search("coffee")), ids(rec.search("cocoa"))) == ([], ["cup"])
        rec.patch_item("cup", {"available": False})
        assert rec.search("cocoa") == []
        rec.patch_item("cup", {"available": True})
        assert ids(rec.search("cocoa")) == ["cup"]
        rec.delete_item("cup").result()
        assert rec.search("cocoa") == []


def test_a_search_goes_on_after_training_and_a_restart(tmp_path: Path) -> None:
    with nl.Recommender(tmp_path / "shop", clock=clock) as rec:
        rec.put_item("pot", title="Teapot")
        assert ids(rec.search("teapot")) == ["pot"]
        rec.fit(shop(), items=catalogue())
        assert ids(rec.search("shoes red")) == ["shoe-0", "shoe-1", "shoe-2", "shoe-3", "shoe-4"]
        before = rec.search("tea leaves")
    with nl.Recommender(tmp_path / "shop", clock=clock) as rec:
        assert rec.search("tea leaves") == before


def test_memory_replaced_by_a_fit_is_not_searched(rec: nl.Recommender) -> None:
    assert ids(rec.search("mint")) == ["tea-2"]
    rec.fit(shop())
    assert rec.search("mint") == []


def test_filter_boost_and_user_of_a_search(rec: nl.Recommender) -> None:
    teas = rec.search("tea")
    assert {*ids(teas)} == {f"tea-{n}" for n in range(4)}
    assert (
        ids(rec.search("tea", filter='item_id != "tea-1"', k=2))
        == [line.item_id for line in teas if line.item_id != "tea-1"][:2]
    )
    boosted = rec.search("tea", boost='item_id == "tea-3" ? 5.0 : 1.0')
    assert boosted[0].item_id == "tea-3"
    assert boosted[0].score == pytest.approx(5 * {t.item_id: t.score for t in teas}["tea-3"])
    assert ids(rec.search("tea", category="shoes")) == []
    rec.observe("ann", "tea-2", timestamp=NOW)
    own = ids(rec.search("tea", user="ann"))
    assert own.index("tea-3") < ids(teas).index("tea-3")  # bought after tea-2
    assert ids(rec.search("tea", user="nobody")) == ids(teas)


@pytest.mark.parametrize(
    "bad",
    [
        *({"text": ""}, {"text": "x" * 1_001}, {"text": 5}, {"text": "a", "k": 0}),
        *({"text": "\ud800"}, {"text": "a", "user": ""}, {"text": "a", "filter": "price <"}),
        {"text": "a", "category": 3},
    ],
)
def test_bad_searches_are_refused(rec: nl.Recommender, bad: dict[str, Any]) -> None:
    with pytest.raises(InvalidInput):
        rec.search(**bad)


def test_a_search_by_meaning(monkeypatch: pytest.MonkeyPatch) -> None:
    """An encoder that knows two meanings; texts without common words are found by them."""

    class Texts:
        def known(self, text: str) -> Any:
            return self.query(text)

        def query(self, text: str) -> Any:
            hot = any(word in text.lower() for word in ("tea", "coffee", "drink"))
            return np.array([1.0, 0.0] if hot else [0.0, 1.0], dtype=np.float32)

    with nl.Recommender() as rec:
        monkeypatch.setattr(rec._search._current, "texts", Texts())
        monkeypatch.setattr(rec._current, "encode", lambda items: None)
        rec.put_item("shoe", title="Red shoes")
        rec.put_item("tea", title="Green tea")
        assert ids(rec.search("drink")) == ["tea"]
        rec.put_item("coffee", title="Coffee drink")
        assert ids(rec.search("drink")) == ["coffee", "tea"]
        rec.put_item("tea", title="Boots")
        assert ids(rec.search("drink")) == ["coffee"]
        monkeypatch.setattr(rec._search._current, "texts", None)


# Popular and trending


def test_popular_items_are_sorted_by_their_events(rec: nl.Recommender) -> None:
    rec.observe("x", "tea-1", timestamp=NOW)
    rec.put_item("never")
    lines = rec.popular(k=100)
    assert (lines[0].item_id, lines[0].score, lines[0].tier) == ("tea-1", 7.0, "popular")
    assert [line.score for line in lines] == [7.0, *([6.0] * 8), 0.0]
    assert lines[-1].item_id == "never"
    assert ids(rec.popular(k=2, filter='"shoes" in categories')) == ["shoe-0", "shoe-1"]
    assert ids(rec.popular(k=1, boost='item_id == "shoe-3" ? 2.0 : 1.0')) == ["shoe-3"]
    assert rec.popular(k=3, min_score=6.5) == lines[:1]
    shown = rec.popular(k=1, fields=["categories"])
    assert shown[0].fields == {"categories": ["teas"]}


def test_trending_items_come_before_popular_ones() -> None:
    with nl.Recommender(clock=clock) as rec:
        for person in range(5):
            rec.observe(f"u{person}", "old", timestamp=1.0)
        rec.observe("u", "new", timestamp=NOW)
        rec.observe("u", "newer", timestamp=NOW)
        rec.observe("v", "newer", timestamp=NOW)
        week = rec.config.state.trending_half_life
        assert week < NOW - 1.0  # the events of old have lost more than half of their weight
        lines = rec.trending()
        assert ids(lines) == ["newer", "old", "new"]
        assert lines[1].score == pytest.approx(5 * 0.5 ** ((NOW - 1.0) / week))
        assert ids(rec.popular()) == ["old", "newer", "new"]
        rec.observe("w", "new", timestamp=NOW, context={"country": "FR"})
        french = rec.popular(k=2, context={"country": "FR"})
        assert [line.tier for line in french] == ["context", "context"]
        assert rec.popular(context={"country": "XX"}) == rec.popular()


# Similar items


def test_relations_of_similar_items(rec: nl.Recommender) -> None:
    assert ids(rec.similar("tea-1", relation="viewed_next"))[0] == "tea-2"
    content = rec.similar("tea-1", relation="content")
    assert {*ids(content)} >= {"tea-0", "tea-2", "tea-3"}
    rec.put_item("twin", text="black tea leaves")
    assert ids(rec.similar("tea-1", k=1, relation="content")) == ["twin"]
    assert "twin" not in ids(rec.similar("tea-1", relation="bought_together"))
    for person in range(3):
        rec.observe(f"p{person}", "tea-1")
        rec.observe(f"p{person}", "twin")
    assert "twin" in ids(rec.similar("tea-1", relation="bought_together"))
    only = rec.similar("tea-1", relation="content", filter='item_id == "tea-3"')
    assert ids(only) == ["tea-3"]
    with pytest.raises(InvalidInput, match="bought_together, viewed_next, content"):
        rec.similar("tea-1", relation="bought")


def test_a_model_without_relations_says_so() -> None:
    with nl.Recommender(config=Config(model="popularity")) as rec:
        rec.fit(shop())
        with pytest.raises(InvalidInput, match="popularity, has no relations"):
            rec.similar("tea-1", relation="content")


def test_similar_items_for_a_user(rec: nl.Recommender) -> None:
    rec.observe("ann", "tea-0", timestamp=NOW)
    plain, own = rec.similar("shoe-2", k=8), rec.similar("shoe-2", k=8, user="ann")
    assert {*ids(plain)} == {*ids(own)}
    ranked = ids(rec.rank("ann", ids(plain)))
    # The item that is first for the user and near the top in similarity cannot be last.
    assert ids(own).index(ranked[0]) <= ids(plain).index(ranked[0])
    assert rec.similar("shoe-2", k=8, user="nobody")[0].item_id == plain[0].item_id


# Audiences


def by_rank(rec: nl.Recommender, item: str, *, seen: bool) -> list[tuple[str, float]]:
    """All users sorted by the score that `rank` gives; the model's scores are all that count."""
    found = []
    for user in rec.users():
        history = {event.item_id: event.weight for event in rec.user(user.user_id).history}
        if history.get(item, 0) < 0 or (item in history and not seen) or not history:
            continue
        score = rec.rank(user.user_id, [item])[0].score
        if score > 1e-6:  # the model ranks the item; other tiers have smaller scores
            found.append((user.user_id, score))
    return sorted(found, key=lambda pair: (-pair[1], pair[0]))


@pytest.mark.parametrize("seen", [False, True])
@pytest.mark.parametrize("item", ["shoe-2", "tea-0", "lone"])
def test_an_audience_equals_the_order_of_rank(rec: nl.Recommender, item: str, seen: bool) -> None:
    rec.observe("a", "shoe-1", timestamp=NOW - 9)
    rec.observe("b", "tea-3", timestamp=NOW - 8)
    rec.observe("b", "shoe-4", timestamp=NOW - 7)
    rec.observe("hates", "shoe-1", timestamp=NOW - 6)
    rec.observe("hates", "shoe-2", event="dislike", timestamp=NOW - 5)
    rec.put_item("lone")
    rec.put_user("silent", age=3)
    expected = by_rank(rec, item, seen=seen)
    found = rec.audience(item, k=100, exclude_seen=not seen)
    assert [(line.user_id, line.score) for line in found] == expected
    assert bool(found) == (item != "lone")
    assert rec.audience(item, k=2, exclude_seen=not seen) == found[:2]


def test_candidates_of_a_large_store_contain_the_best(
    rec: nl.Recommender, monkeypatch: pytest.MonkeyPatch
) -> None:
    rec.observe("a", "shoe-1", timestamp=NOW - 9)
    rec.observe("b", "shoe-4", timestamp=NOW - 7)
    expected = rec.audience("shoe-2", k=2)
    monkeypatch.setattr(audiences, "EVERYONE", 3)
    monkeypatch.setattr(audiences, "CANDIDATES", 3)
    assert rec.audience("shoe-2", k=2) == expected
    assert len(rec.audience("shoe-2", k=100)) <= 3


def test_a_filter_of_an_audience_knows_user_and_item(rec: nl.Recommender) -> None:
    everyone = rec.audience("shoe-2", k=100, exclude_seen=False)
    for person, line in enumerate(everyone):
        rec.put_user(line.user_id, number=person)
    odd = rec.audience("shoe-2", k=100, exclude_seen=False, filter="user.number % 2 == 1")
    assert odd == everyone[1::2]
    assert (
        rec.audience("shoe-2", exclude_seen=False, filter="user.number >= 3", k=2) == everyone[3:5]
    )
    both = 'user.number < 3 && "shoes" in categories'
    assert rec.audience("shoe-2", exclude_seen=False, filter=both) == everyone[:3]
    assert rec.audience("shoe-2", exclude_seen=False, filter='"teas" in categories') == []
    with pytest.raises(InvalidInput, match="filter"):
        rec.audience("shoe-2", filter="user.number <")
    with pytest.raises(InvalidInput, match="filter"):
        rec.audience("shoe-2", filter=3)


def test_users_who_refuse_an_item_are_not_its_audience(rec: nl.Recommender) -> None:
    first, second, *_ = rec.audience("shoe-2", exclude_seen=False)
    rec.critique(first.user_id, not_="shoe-2")
    assert rec.audience("shoe-2", exclude_seen=False, k=1) == [second]


def test_an_audience_respects_the_least_number_of_users() -> None:
    with nl.Recommender(clock=clock, config=Config(similar_users=7)) as rec:
        rec.fit(shop(), items=catalogue())
        assert rec.audience("shoe-2", exclude_seen=False) == []
        rec.observe("seventh", "shoe-2")
        assert rec.audience("shoe-2", exclude_seen=False)
        with pytest.raises(UnknownItem):
            rec.audience("nothing")


# Listings


def pages(rec: nl.Recommender, k: int, **options: Any) -> list[list[str]]:
    found, cursor = [], None
    while True:
        page = rec.item_page(ItemsRequest(k=k, cursor=cursor, **options))
        found.append(ids(page.items))
        cursor = page.next
        if cursor is None:
            return found


def test_pages_of_items_have_everything_once(rec: nl.Recommender) -> None:
    rec.observe("x", "only an event")
    rec.put_item("gone")
    rec.delete_item("gone").result()
    rec.put_item("hidden", available=False)
    everything = sorted(["only an event", "hidden", *(f"shoe-{n}" for n in range(5))])
    everything += [f"tea-{n}" for n in range(4)]
    assert ids(rec.items()) == everything
    assert [len(page) for page in pages(rec, 4)] == [4, 4, 3]
    assert [name for page in pages(rec, 4) for name in page] == everything
    teas = 'available && "teas" in categories'
    assert [name for page in pages(rec, 3, filter=teas) for name in page] == everything[-4:]
    assert ids(rec.items(filter=teas)) == everything[-4:]
    entry = next(item for item in rec.items() if item.item_id == "tea-0")
    assert (entry.text, entry.categories) == ("green tea leaves", ["teas"])
    assert next(iter(rec.items(filter="!available"))).available is False


def test_a_cursor_survives_a_restart_and_changes(tmp_path: Path) -> None:
    with nl.Recommender(tmp_path / "shop") as rec:
        for n in range(10):
            rec.put_item(f"i{n}")
            rec.observe(f"u{n}", f"i{n}")
        first = rec.item_page(ItemsRequest(k=4))
        people = rec.user_page(UsersRequest(k=4))
        rec.forget("u2").result()
        rec.forget("u7").result()
        rec.put_item("a new one")
        rec.put_item("j")
    with nl.Recommender(tmp_path / "shop") as rec:
        second = rec.item_page(ItemsRequest(k=100, cursor=first.next))
        assert ids(first.items) + ids(second.items) == [*(f"i{n}" for n in range(10)), "j"]
        others = rec.user_page(UsersRequest(k=100, cursor=people.next))
        assert [one.user_id for one in others.users] == ["u4", "u5", "u6", "u8", "u9"]
        rec.put_user("u65", country="FR")
        others = rec.user_page(UsersRequest(k=4, cursor=people.next))
        assert [one.user_id for one in others.users] == ["u4", "u5", "u6", "u65"]
        assert others.users[-1].attributes == {"country": "FR"}


@pytest.mark.parametrize("cursor", ["", "abc", "é", "A" * 5_000, "%00", 5])
def test_other_cursors_are_refused(rec: nl.Recommender, cursor: Any) -> None:
    with pytest.raises(InvalidInput, match="cursor"):
        rec.item_page(ItemsRequest(cursor=cursor))


def test_a_cursor_belongs_to_its_listing(rec: nl.Recommender) -> None:
    cursor = rec.item_page(ItemsRequest(k=2)).next
    assert cursor is not None
    with pytest.raises(InvalidInput, match="cursor"):
        rec.user_page(UsersRequest(cursor=cursor))
    with pytest.raises(InvalidInput, match="another filter"):
        rec.item_page(ItemsRequest(cursor=cursor, filter="available"))
    changed = cursor[:-1] + ("A" if cursor[-1] != "A" else "Q")
    with pytest.raises(InvalidInput, match="cursor"):
        rec.item_page(ItemsRequest(cursor=changed))
