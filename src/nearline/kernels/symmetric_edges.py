"""Edges that are added both ways beside fixed ones, and taken away with all that lead to an item.

The arrays are those of `counted_edges.Edges`, of one relation: fixed edges in rows, added edges in
one chain an item, newest first. A reader may come along at any time: an edge is complete before a
chain leads to it.
"""

import numpy as np
from numba import njit
from numpy.typing import NDArray

from nearline.kernels.counted_edges import Edges
from nearline.kernels.edges import Rows

Ints = NDArray[np.int32]
Longs = NDArray[np.int64]
Floats = NDArray[np.float32]


@njit(nogil=True, cache=True)
def _add(edges: Edges, edge: int, relation: int, source: int, target: int, value: float) -> None:
    edges.added_items[edge] = target
    edges.added_values[edge] = value
    edges.following[edge] = edges.heads[relation, source]
    edges.heads[relation, source] = edge


@njit(nogil=True, cache=True)
def connect(edges: Edges, relation: int, item: int, others: Ints, values: Floats) -> int:
    """Add item -> other and other -> item for each other; return how many edges there are then.

    Backwards, since a chain is read from its newest edge: the strongest comes first.
    """
    edge = edges.n_added
    for at in range(len(others) - 1, -1, -1):
        _add(edges, edge, relation, item, others[at], values[at])
        _add(edges, edge + 1, relation, others[at], item, values[at])
        edge += 2
    return edge


@njit(nogil=True, cache=True)
def connect_rows(edges: Edges, relation: int, items: Longs, rows: Rows) -> int:
    """Add the edges of several items, one row each, in this order; see `connect`."""
    for row in range(len(items)):
        own = slice(rows.indptr[row], rows.indptr[row + 1])
        n_added = connect(edges, relation, items[row], rows.items[own], rows.weights[own])
        edges = Edges(
            edges.indptr,
            edges.items,
            edges.values,
            edges.heads,
            edges.following,
            edges.added_items,
            edges.added_values,
            n_added,
        )
    return edges.n_added


@njit(nogil=True, cache=True)
def disconnect_added(edges: Edges, relation: int, item: int) -> None:
    """Set the added edges from and to `item` to zero, and remove them from their chains.

    The time is that of reading the chains of its neighbours. A removed edge still leads to the rest
    of its chain, for readers that have reached it. If such edges remained in the chains, an item
    that is changed again and again would take ever longer.
    """
    edge = edges.heads[relation, item]
    while edge >= 0:
        edges.added_values[edge] = 0.0
        other = edges.added_items[edge]
        before = -1
        back = edges.heads[relation, other]
        while back >= 0:
            after = edges.following[back]
            if edges.added_items[back] != item:
                before = back
            else:
                edges.added_values[back] = 0.0
                if before < 0:
                    edges.heads[relation, other] = after
                else:
                    edges.following[before] = after
            back = after
        edge = edges.following[edge]
    edges.heads[relation, item] = -1


@njit(nogil=True, cache=True)
def incoming(items: Ints, n_items: int) -> tuple[Longs, Longs]:
    """Places of each item in `items`: those of item i are ``places[indptr[i]:indptr[i + 1]]``."""
    indptr = np.zeros(n_items + 1, dtype=np.int64)
    for item in items:
        indptr[item + 1] += 1
    for item in range(n_items):
        indptr[item + 1] += indptr[item]
    filled = indptr[:-1].copy()
    places = np.empty(len(items), dtype=np.int64)
    for place in range(len(items)):
        item = items[place]
        places[filled[item]] = place
        filled[item] += 1
    return indptr, places
