import numpy as np
import pytest

from nearline.kernels.trees import Trees, sum_trees


def naive(trees: Trees, row: np.ndarray) -> float:
    total = 0.0
    for root in trees.roots.tolist():
        node = root
        while node >= 0:
            left = row[trees.features[node]] <= trees.thresholds[node]
            node = int(trees.left[node] if left else trees.right[node])
        total += float(trees.values[~node])
    return total


# x0 <= 1 ? 10 : (x1 <= -2 ? 20 : 30), and a tree of one leaf that adds 0.5.
TREES = Trees(
    np.array([0, ~3], dtype=np.int32),
    np.array([0, 1], dtype=np.int32),
    np.array([1.0, -2.0]),
    np.array([~0, ~1], dtype=np.int32),
    np.array([1, ~2], dtype=np.int32),
    np.array([10.0, 20.0, 30.0, 0.5]),
)


def test_two_trees_by_hand() -> None:
    table = np.array([[1.0, 9.0], [1.5, -2.0], [1.5, 0.0]], dtype=np.float32)
    assert sum_trees(TREES, table).tolist() == [10.5, 20.5, 30.5]


def test_many_rows_equal_the_walk_of_each() -> None:
    rng = np.random.default_rng(0)
    table = rng.normal(scale=2.0, size=(9000, 2)).astype(np.float32)
    found = sum_trees(TREES, table)
    assert found[::500] == pytest.approx([naive(TREES, row) for row in table[::500]])
    assert np.array_equal(found, sum_trees(TREES, np.asfortranarray(table)))


def test_no_trees_add_nothing() -> None:
    empty = TREES._replace(roots=TREES.roots[:0])
    assert sum_trees(empty, np.zeros((3, 2), dtype=np.float32)).tolist() == [0, 0, 0]
