"""An item that is changed again and again."""

import numpy as np

from nearline.models.item_graph import ItemGraph


def chain_lengths(graph: ItemGraph) -> list[int]:
    """Return the number of added edges that a reader passes, by item, in all relations."""
    store = graph._store
    lengths = []
    for item in range(graph.n_items):
        length = 0
        for relation in range(len(store.names)):
            edge = int(store._heads[relation, item])
            while edge >= 0:
                length += 1
                edge = int(store._following[edge])
        lengths.append(length)
    return lengths


def test_edges_of_earlier_texts_do_not_remain_in_the_chains() -> None:
    graph = ItemGraph.untrained()
    graph.put_items([0, 1, 2], ["red cup", "red mug", "blue cup"])
    lengths = chain_lengths(graph)
    assert lengths == [2, 1, 1]
    for _ in range(50):
        graph.put_items([0], ["green pot"])
        assert chain_lengths(graph) == [0, 0, 0]
        graph.put_items([0], ["red cup"])
        assert chain_lengths(graph) == lengths


def test_an_item_that_was_changed_often_has_the_edges_of_one_that_was_not() -> None:
    often, once = ItemGraph.untrained(), ItemGraph.untrained()
    once.put_items([0, 1, 2, 3], ["red cup", "red mug", "blue cup", "blue mug"])
    often.put_items([0, 1, 2, 3], ["red cup", "red mug", "blue cup", "blue mug"])
    for step in range(40):
        often.put_items([step % 4], ["green pot"])
        often.put_items([step % 4], [["red cup", "red mug", "blue cup", "blue mug"][step % 4]])
    for item in range(4):
        ours, theirs = (g.similar(np.array([item], np.int32), 4) for g in (often, once))
        assert set(ours.items[0].tolist()) == set(theirs.items[0].tolist())
