"""Scores, lists, ranks and parts of an item graph against the oracle."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests import naive
from tests.kernels.test_edges import ragged

from nearline.kernels.edges import Rows
from nearline.kernels.scoring import (
    FAINTEST,
    Graph,
    rank_rows,
    recommend_rows,
    score_parts,
    score_rows,
)
from nearline.kernels.sparse_scores import relation_parts

N_ITEMS = 6
Relation = dict[int, dict[int, float]]
History = list[tuple[int, float]]

RELATION = st.dictionaries(
    st.integers(0, N_ITEMS - 1),
    st.dictionaries(st.integers(0, N_ITEMS - 1), st.sampled_from([0.25, 0.5, 1.0]), max_size=4),
    max_size=N_ITEMS,
)
HISTORY = st.lists(
    st.tuples(st.integers(-1, N_ITEMS - 1), st.sampled_from([-1.0, 0.5, 1.0])), max_size=7
)
WEIGHTS, HALF_LIVES = [1.0, 0.5], [1.0, 3.0]
GAINS = [1.25, 1.0, 1.5, 1.0, 2.0, 1.0]


def graph_of(relations: list[Relation], added: list[Relation], max_history: int = 100) -> Graph:
    """Base rows and, read from newest to oldest, chains of added edges."""
    rows = [ragged([list(r.get(i, {})) for i in range(N_ITEMS)]) for r in relations]
    starts = np.cumsum([0] + [len(row.items) for row in rows])
    values = [v for r in relations for i in range(N_ITEMS) for v in r.get(i, {}).values()]
    heads = np.full((len(relations), N_ITEMS), -1, dtype=np.int64)
    following: list[int] = []
    added_items: list[int] = []
    added_values: list[float] = []
    for r, relation in enumerate(added):
        for item, edges in relation.items():
            for other, value in edges.items():
                following.append(int(heads[r, item]))
                heads[r, item] = len(added_items)
                added_items.append(other)
                added_values.append(value)
    return Graph(
        np.stack([row.indptr + start for row, start in zip(rows, starts, strict=False)]),
        np.concatenate([row.items for row in rows]),
        np.array(values, dtype=np.float32),
        heads,
        np.array(following, dtype=np.int64),
        np.array(added_items, dtype=np.int32),
        np.array(added_values, dtype=np.float32),
        np.array(WEIGHTS),
        0.5 ** (1.0 / np.array(HALF_LIVES)),
        np.zeros((0, 0)),
        np.zeros((0, 0)),
        np.zeros(0),
        np.array(GAINS),
        N_ITEMS,
        max_history,
    )


def both(base: Relation, added: Relation) -> Relation:
    """The sum of two relations."""
    return {
        i: {
            j: base.get(i, {}).get(j, 0.0) + added.get(i, {}).get(j, 0.0)
            for j in {**base.get(i, {}), **added.get(i, {})}
        }
        for i in {**base, **added}
    }


def gained(relation: Relation) -> Relation:
    """Entries times the gains of the items that they lead to."""
    return {i: {j: GAINS[j] * value for j, value in row.items()} for i, row in relation.items()}


def one_row(history: list[tuple[int, float]]) -> Rows:
    return ragged([[item for item, _ in history]], [[weight for _, weight in history]])


@settings(deadline=None)
@given(RELATION, RELATION, RELATION, HISTORY)
def test_scores_and_their_parts(a: Relation, b: Relation, c: Relation, history: History) -> None:
    graph = graph_of([a, b], [{}, c])
    relations = [gained(a), gained(both(b, c))]
    items, weights = [item for item, _ in history], [weight for _, weight in history]
    expected = naive.graph_scores(relations, WEIGHTS, HALF_LIVES, items, weights, N_ITEMS)
    scores = score_rows(graph, one_row(history))[0]
    assert scores.tolist() == pytest.approx(expected, abs=1e-6)
    targets = np.array([*range(N_ITEMS), 0], dtype=np.int32)
    by_relation = relation_parts(graph, one_row(history), targets)
    for at, target in enumerate(targets.tolist()):
        parts = score_parts(graph, one_row(history), target)
        assert parts.shape == (len(history), 2)
        assert parts.sum() == pytest.approx(scores[target], abs=1e-6)
        assert by_relation[at].tolist() == pytest.approx(parts.sum(axis=0).tolist(), abs=1e-9)


@settings(deadline=None)
@given(RELATION, RELATION, HISTORY, st.integers(1, 8), st.booleans(), st.sets(st.integers(0, 5)))
def test_lists_are_the_sorted_scores(
    a: Relation, b: Relation, history: History, k: int, exclude_seen: bool, hidden: set[int]
) -> None:
    graph = graph_of([a, b], [{}, {}])
    allowed = np.array([item not in hidden for item in range(N_ITEMS)])
    rows = one_row(history)
    scores = score_rows(graph, rows)[0]
    seen = {item for item, _ in history} if exclude_seen else set()
    kept = {i: float(scores[i]) for i in range(N_ITEMS) if i not in seen | hidden}
    best = recommend_rows(graph, rows, k, exclude_seen=exclude_seen, allowed=allowed)
    expected = naive.top_k(kept, k, above=0.0)
    assert best.scores[0, : len(expected)].tolist() == [score for _, score in expected]
    assert (best.items[0, len(expected) :] == -1).all()
    # Doubles that differ only beyond single precision may stand in either order.
    found = best.items[0, : len(expected)]
    assert scores[found].tolist() == [score for _, score in expected]


@settings(deadline=None)
@given(RELATION, RELATION, st.lists(HISTORY, min_size=1, max_size=4))
def test_ranks_are_positions_in_the_list(
    a: Relation, b: Relation, histories: list[History]
) -> None:
    graph = graph_of([a, b], [{}, {}])
    rows = ragged(
        [[item for item, _ in row] for row in histories], [[w for _, w in row] for row in histories]
    )
    targets = ragged([list(range(-1, N_ITEMS + 1))] * len(histories))
    ranks = rank_rows(graph, rows, targets).reshape(len(histories), -1)
    lists = recommend_rows(graph, rows, N_ITEMS, exclude_seen=True).items
    for found, best in zip(ranks.tolist(), lists.tolist(), strict=True):
        for target, rank in zip(range(-1, N_ITEMS + 1), found, strict=True):
            listed = target >= 0 and target in best
            assert rank == (best.index(target) if listed else N_ITEMS)


def test_old_and_faint_events_add_nothing() -> None:
    edge: list[Relation] = [{0: {1: 1.0}, 2: {3: 1.0}}, {}]
    rows = ragged([[0, 2, 2]])
    assert score_rows(graph_of(edge, [{}, {}], max_history=2), rows)[0, 1] == 0.0
    assert score_rows(graph_of(edge, [{}, {}], max_history=3), rows)[0, 1] == 0.25
    assert score_rows(graph_of(edge, [{}, {}]), ragged([[0] + [2] * 20]))[0, 1] == FAINTEST
    assert score_rows(graph_of(edge, [{}, {}]), ragged([[0] + [2] * 21]))[0, 1] == 0.0


def test_scratch_is_clean_after_a_larger_graph() -> None:
    relation: list[Relation] = [{0: {1: 1.0}}, {}]
    graph = graph_of(relation, [{}, {}])
    for _ in range(2):
        assert score_rows(graph, ragged([[0], [2]])).tolist() == [[0, 1, 0, 0, 0, 0], [0] * 6]


def test_invalid_shapes_are_rejected() -> None:
    graph = graph_of([{}, {}], [{}, {}])
    with pytest.raises(ValueError, match="k is 0"):
        recommend_rows(graph, ragged([[0]]), 0, exclude_seen=True)
    with pytest.raises(ValueError, match="targets has 2 rows, histories 1"):
        rank_rows(graph, ragged([[0]]), ragged([[0], [1]]))
