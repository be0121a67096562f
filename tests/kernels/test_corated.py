"""Neighbours over what two rows both rated, and weighted means, by hand and against the oracle."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests import naive_neighbours as naive
from tests.kernels.test_edges import as_lists
from tests.kernels.test_neighbours import check
from tests.kernels.test_sets import ragged

from nearline.kernels.corated import Affinity, corated_rows, mean_by_columns, mean_by_rows
from nearline.kernels.edges import Rows
from nearline.kernels.ridge import Targets

N_COLUMNS = 5
ROW = st.dictionaries(st.integers(0, N_COLUMNS - 1), st.integers(-4, 4).map(float))


def targets(rows: list[dict[int, float]]) -> Targets:
    columns = ragged([list(row) for row in rows])
    values = np.array([value for row in rows for value in row.values()])
    return Targets(columns.indptr, columns.items, values)


def near_rows(rows: list[list[tuple[int, float]]]) -> Rows:
    items = ragged([[item for item, _ in row] for row in rows])
    weights = np.array([s for row in rows for _, s in row], dtype=np.float32)
    return Rows(items.indptr, items.items, weights)


def test_pearson_and_cosine_by_hand() -> None:
    # Means 11/3 and 4: Pearson -2 / sqrt(14/3 * 2); cosine (12 + 20 + 10) / sqrt(45 * 50).
    rows = [{0: 4.0, 1: 5.0, 2: 2.0}, {0: 3.0, 1: 4.0, 2: 5.0}]
    by_row, by_column = targets(rows), targets(naive.columns(rows, 3))
    itself = np.arange(2, dtype=np.int32)
    cosine = corated_rows(by_row, by_column, 2, Affinity(False, 0.0, 0.7, 9), leave_out=itself)
    assert cosine.items.tolist() == [1, 0]
    assert cosine.weights == pytest.approx(42 / np.sqrt(45 * 50))
    pearson = corated_rows(by_row, by_column, 2, Affinity(True, 0.0, 0.0, 9), leave_out=itself)
    assert as_lists(pearson) == [[], []]
    turned = targets([{c: -r for c, r in rows[0].items()}])
    opposite = corated_rows(turned, by_column, 2, Affinity(True, 0.0, 0.0, 9))
    assert opposite.items.tolist() == [1]
    assert opposite.weights == pytest.approx(2 / np.sqrt(14 / 3 * 2))


@settings(deadline=None, max_examples=60)
@given(
    rows=st.lists(ROW, min_size=1, max_size=7),
    centred=st.booleans(),
    shrinkage=st.sampled_from([0.0, 3.0]),
    threshold=st.sampled_from([0.0, 0.4]),
    k=st.sampled_from([1, 3, 2**31 - 1]),
)
def test_similarities_equal_the_definition(
    rows: list[dict[int, float]], centred: bool, shrinkage: float, threshold: float, k: int
) -> None:
    found = corated_rows(
        targets(rows),
        targets(naive.columns(rows, N_COLUMNS)),
        len(rows),
        Affinity(centred, shrinkage, threshold, k),
        leave_out=np.arange(len(rows), dtype=np.int32),
        threads=1,
    )
    expected = [
        {
            j: naive.rating_similarity(one, two, centred, shrinkage)
            for j, two in enumerate(rows)
            if j != i
        }
        for i, one in enumerate(rows)
    ]
    check(found, expected, k, threshold)


def test_results_do_not_depend_on_threads() -> None:
    rng = np.random.default_rng(0)
    rows = [dict(enumerate(rng.normal(size=6).tolist())) for _ in range(60)]
    both = targets(rows), targets(naive.columns(rows, 6))
    one, two = (
        corated_rows(*both, 60, Affinity(True, 1.0, 0.0, 5), threads=threads) for threads in (1, 2)
    )
    assert as_lists(one) == as_lists(two)


def test_the_mean_over_neighbours_who_rated_the_item() -> None:
    # Neighbours 2, 0, 1 with weights .5, .25, .25; all but 2 rated item 0, only 2 rated item 1.
    near = near_rows([[(2, 0.5), (0, 0.25), (1, 0.25)]])
    given_ = targets([{0: 1.0}, {0: 3.0}, {1: 5.0}])
    wanted = ragged([[1, 0, 2]])
    assert mean_by_rows(near, given_, wanted, 2, 3).tolist() == pytest.approx(
        [5.0, 2.0, np.nan], nan_ok=True
    )
    assert mean_by_rows(near, given_, wanted, 1, 3).tolist() == pytest.approx(
        [5.0, 1.0, np.nan], nan_ok=True
    )


def test_the_mean_over_neighbours_of_the_item() -> None:
    # Item 0 has the neighbours 2, 1, 3 in this order; the row rated 1 and 3, another row nothing.
    near = near_rows([[(2, 0.9), (1, 0.6), (3, 0.2)], [], [], []])
    own = targets([{3: 1.0, 1: 5.0}, {}])
    wanted = ragged([[0, 1], [0]])
    assert mean_by_columns(near, own, wanted, 9).tolist() == pytest.approx(
        [(0.6 * 5 + 0.2 * 1) / 0.8, np.nan, np.nan], nan_ok=True
    )
    assert mean_by_columns(near, own, wanted, 1)[0] == pytest.approx(5.0)
