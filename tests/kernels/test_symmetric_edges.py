"""Edges added both ways and taken away again, against a dictionary."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from nearline.kernels.edges import Rows
from nearline.kernels.symmetric_edges import incoming
from nearline.models.item_graph.graph_store import GraphStore

N = 5
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("cut"), st.integers(0, N)),
        st.tuples(
            st.just("join"),
            st.integers(0, N),
            st.lists(st.integers(0, N), min_size=1, max_size=3, unique=True),
        ),
    ),
    max_size=8,
)


@settings(deadline=None, max_examples=80)
@given(st.lists(st.lists(st.integers(0, N - 1), max_size=3, unique=True), min_size=N, max_size=N),
       STEPS)  # fmt: skip
def test_edges_are_those_of_a_dictionary(base: list[list[int]], steps: list[tuple]) -> None:  # type: ignore[type-arg]
    indptr = np.cumsum([0] + [len(row) for row in base]).astype(np.int64)
    items = np.array([item for row in base for item in row], dtype=np.int32)
    rows = Rows(indptr, items, np.arange(1, len(items) + 1, dtype=np.float32))
    other = Rows(np.zeros(N + 1, np.int64), np.zeros(0, np.int32), np.zeros(0, np.float32))
    store = GraphStore({"other": other, "text": rows}, N)
    store.grow(N + 1)
    edges = [
        (source, int(items[at]), float(at + 1))
        for source in range(N)
        for at in range(indptr[source], indptr[source + 1])
    ]
    for number, step in enumerate(steps):
        if step[0] == "cut":
            store.disconnect("text", step[1])
            edges = [edge for edge in edges if step[1] not in edge[:2]]
        else:
            _, item, others = step
            values = np.arange(len(others), dtype=np.float32) + 100 * (number + 1)
            store.connect("text", item, np.array(others, dtype=np.int32), values)
            for near, value in zip(others, values.tolist(), strict=True):
                edges += [(item, near, value), (near, item, value)]
    kept = store.rows("text")
    found = [
        (source, int(kept.items[at]), float(kept.weights[at]))
        for source in range(N + 1)
        for at in range(kept.indptr[source], kept.indptr[source + 1])
    ]
    assert sorted(found) == sorted(edges)
    assert len(store.rows("other").items) == 0


def test_incoming() -> None:
    indptr, places = incoming(np.array([2, 0, 2, 1], dtype=np.int32), 4)
    assert indptr.tolist() == [0, 1, 2, 4, 4]
    assert places.tolist() == [1, 3, 0, 2]
