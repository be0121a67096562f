"""What one user can do to the lists of others: items that only this user has interacted with."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.models.synthetic import dataset

from nearline.data.dataset import Histories
from nearline.kernels import support
from nearline.kernels.edges import Rows
from nearline.models.item_graph.config import ItemGraphConfig
from nearline.models.item_graph.model import ItemGraph
from nearline.models.item_graph.relations import support_of

N_ITEMS, N_USERS = 400, 300
OWN = range(N_ITEMS, N_ITEMS + 200)
CONFIG = ItemGraphConfig()
EVENTS = st.lists(st.tuples(st.integers(-1, 4), st.sampled_from([-1.0, 0.0, 1.0, 3.0])), max_size=9)


def others() -> list[list[int]]:
    """Histories of users who choose 12 items each."""
    rng = np.random.default_rng(0)
    return [rng.choice(N_ITEMS, 12, replace=False).tolist() for _ in range(N_USERS)]


def alternating(rows: list[list[int]], n_own: int, repeats: int, limit: int) -> list[int]:
    """Return a history in which an own item follows each of the last items of others."""
    targets = [row[-1] for row in rows]
    events = []
    for number, target in enumerate(targets):
        events += [target, OWN[number % n_own]] * repeats
    return events[:limit]


def reached(model: ItemGraph, rows: list[list[int]]) -> int:
    """Return the number of lists of others that contain an own item of the user."""
    found = model.recommend_from(Histories.from_rows(rows), 10).items
    return int((found >= N_ITEMS).any(axis=1).sum())


@pytest.mark.parametrize(("n_own", "repeats"), [(200, 1), (200, 5), (20, 2), (100, 2)])
@pytest.mark.parametrize("weight", [1.0, 3.0])
def test_a_long_history_does_not_put_own_items_into_lists_of_others(
    n_own: int, repeats: int, weight: float
) -> None:
    rows = others()
    events = alternating(rows, n_own, repeats, 1_000)
    data = dataset(rows, N_ITEMS + len(OWN))
    model = ItemGraph(CONFIG).fit(data)
    assert reached(model, rows) == 0
    new = Histories.from_rows([events])
    new.weights[:] = weight
    model.observe(Histories.from_rows([[]]), new)
    assert reached(model, rows) == 0  # live
    fitted = ItemGraph(CONFIG).fit(dataset([*rows, events], N_ITEMS + len(OWN)))
    assert reached(fitted, rows) == 0
    # Once a second user has interacted with it, an item is recommended to others.
    model.observe(Histories.from_rows([[]]), Histories.from_rows([[rows[0][-1], events[1]]]))
    assert events[1] in model.recommend_from(Histories.from_rows(rows[:1]), 10).items


def test_new_items_of_a_short_history_are_recommended() -> None:
    rows = others()
    model = ItemGraph(CONFIG).fit(dataset(rows, N_ITEMS + len(OWN)))
    model.observe(Histories.from_rows([[]]), Histories.from_rows([[rows[0][-1], OWN[0]]]))
    assert OWN[0] in model.recommend_from(Histories.from_rows(rows[:1]), 10).items


def naive_support(rows: list[list[tuple[int, float]]], limit: int) -> list[int]:
    """Return the support of five items."""
    support = [0] * 5
    for row in rows:
        items = [item for item, weight in row if item >= 0 and weight > 0]
        for item in set(items):
            support[item] += 2 if len(items) <= limit else 1
    return support


@settings(deadline=None)
@given(st.lists(EVENTS, max_size=6), st.integers(1, 4))
def test_support_equals_that_of_a_naive_count(
    rows: list[list[tuple[int, float]]], limit: int
) -> None:
    flat = [event for row in rows for event in row]
    events = Rows(
        np.cumsum([0] + [len(row) for row in rows]).astype(np.int64),
        np.array([item for item, _ in flat], dtype=np.int32),
        np.array([weight for _, weight in flat], dtype=np.float32),
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(support, "VERY_ACTIVE", limit)
        assert support_of(events, 5).tolist() == naive_support(rows, limit)
