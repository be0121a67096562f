"""The synthetic shop: sizes, seeds, and the structure that models can learn."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nearline.data import clean, make_dataset, synthetic_shop
from nearline.data.public.synthetic import DAYS, START
from nearline.errors import InvalidInput
from nearline.schema import DAY, check_item

SHOP = synthetic_shop(users=300, items=240, events=12_000, seed=7)


@given(
    users=st.integers(1, 60),
    items=st.integers(24, 90),
    events=st.integers(1, 400),
    seed=st.integers(0, 9),
)
@settings(max_examples=30, deadline=None)
def test_any_size_keeps_the_rules(users: int, items: int, events: int, seed: int) -> None:
    shop = synthetic_shop(users, items, events, seed=seed)
    table = shop.interactions
    assert table.num_rows == events
    assert len(shop.items) == items
    known = {f"i{number}" for number in range(items)}
    assert {item.item_id for item in shop.items} == known
    assert set(table["item_id"].to_pylist()) <= known
    times = table["timestamp"].to_numpy()
    assert (np.diff(times) >= 0).all()
    assert times.min() >= START
    arrival = {item.item_id: item.timestamp for item in shop.items}
    first = np.array([arrival[item] for item in table["item_id"].to_pylist()])
    assert (first <= times).all()
    for item in shop.items:
        check_item(item, now=START + DAYS * DAY)


def test_the_same_seed_gives_the_same_shop() -> None:
    again = synthetic_shop(users=300, items=240, events=12_000, seed=7)
    assert again.interactions.equals(SHOP.interactions)
    assert again.items == SHOP.items
    other = synthetic_shop(users=300, items=240, events=12_000, seed=8)
    assert not other.interactions.equals(SHOP.interactions)


def test_cleaning_drops_nothing() -> None:
    kept, report = clean(SHOP.interactions, now=START + (DAYS + 1) * DAY)
    assert report.rows_dropped == 0
    assert kept.num_rows == 12_000


def test_every_user_has_events_and_some_items_are_new() -> None:
    data = make_dataset(SHOP.interactions, SHOP.items)
    assert data.n_users == 300
    late = [item for item in SHOP.items if item.timestamp > START]
    assert 0.2 < len(late) / len(SHOP.items) < 0.4


def test_a_few_items_sell_most() -> None:
    counts = np.sort(make_dataset(SHOP.interactions, SHOP.items).matrix().sum(axis=0))[::-1]
    assert counts[:24].sum() > 0.35 * counts.sum()


def test_purchases_and_only_they_have_a_price() -> None:
    price = {item.item_id: item.attributes["price"] for item in SHOP.items}
    for row in SHOP.interactions.slice(0, 2_000).to_pylist():
        bought = row["event"] == "purchase"
        assert row["value"] == (price[row["item_id"]] if bought else None)


def test_users_have_tastes_and_texts_show_the_taste_of_items() -> None:
    taste = {item.item_id: item.categories[0] for item in SHOP.items}
    seen: dict[str, list[str]] = {}
    for row in SHOP.interactions.to_pylist():
        seen.setdefault(row["user_id"], []).append(taste[row["item_id"]])
    shares = [max(map(tastes.count, tastes)) / len(tastes) for tastes in seen.values()]
    assert np.mean(shares) > 0.5  # one of twelve by chance alone
    words: dict[str, set[str]] = {}
    for item in SHOP.items:
        words.setdefault(item.categories[0], set()).update(item.text.split())
    assert len(words["garden"] & words["music"]) < len(words["garden"]) * 0.7


def test_items_are_followed_by_their_companions() -> None:
    data = make_dataset(SHOP.interactions)
    follows = np.zeros((data.n_items, data.n_items))
    for user in range(data.n_users):
        row = data.histories.row(user)
        np.add.at(follows, (row[:-1], row[1:]), 1)
    often = follows.sum(axis=1) >= 50
    # About a third of the choices are followed by the companion item.
    assert np.median(follows[often].max(axis=1) / follows[often].sum(axis=1)) > 0.15


@pytest.mark.parametrize(("users", "items", "events"), [(0, 24, 1), (1, 23, 1), (1, 24, 0)])
def test_invalid_sizes_are_refused(users: int, items: int, events: int) -> None:
    with pytest.raises(InvalidInput, match="are needed"):
        synthetic_shop(users, items, events, seed=0)
