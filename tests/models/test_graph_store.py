"""Views of a graph that grows: taken before, they must stay valid while edges are written."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from nearline.kernels.edges import pack
from nearline.kernels.scoring import Graph
from nearline.models.item_graph.graph_store import ROOM, GraphStore


def _reach(view: Graph) -> int:
    """Return the number of edges in all lists; fail if a list leaves the arrays."""
    edges = 0
    for edge in view.heads.ravel():
        while edge >= 0:
            assert edge < len(view.following) == len(view.added_items) == len(view.added_values)
            edge = view.following[edge]
            edges += 1
    return edges


@settings(deadline=None, max_examples=20)
@given(st.lists(st.tuples(st.booleans(), st.integers(1, 2 * ROOM)), min_size=1, max_size=6))
def test_views_stay_valid(steps: list[tuple[bool, int]]) -> None:
    store = GraphStore({"text": pack([])}, 0)
    store.grow(2)
    views = []
    edges = 0
    for items_grow, amount in steps:
        views.append((store.view(np.ones(1), np.ones(1), 10), edges))
        if items_grow:
            store.grow(store.n_items + amount)
        for _ in range(amount if not items_grow else 1):
            store.connect("text", store.n_items - 1, np.zeros(1, np.int32), np.ones(1, np.float32))
            edges += 2
    for view, known in views:
        assert _reach(view) >= known
    assert _reach(store.view(np.ones(1), np.ones(1), 10)) == edges
