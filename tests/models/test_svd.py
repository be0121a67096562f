import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.models.rated_rows import dense, histories, random_rows, rated, rows_of

from nearline.errors import InvalidInput
from nearline.models.factors.svd import CENTRES, Svd, SvdConfig

WORKED = [[4.0, 5.0], [2.0, 5.0]]


@pytest.mark.parametrize("centre", CENTRES)
def test_full_rank_reproduces_the_worked_example(centre: str) -> None:
    data = dense(WORKED)
    model = Svd(SvdConfig(factors=2, centre=centre)).fit(data)
    assert np.abs(model.rebuild(data.histories) - np.array(WORKED)).max() < 1e-12


def test_rank_one_of_the_worked_example() -> None:
    # R^T R = [[20, 30], [30, 50]] has the eigenvalues 35 +- sqrt(1125): the error is the lesser.
    data = dense(WORKED)
    model = Svd(SvdConfig(factors=1, centre="none")).fit(data)
    error = np.square(model.rebuild(data.histories) - np.array(WORKED)).sum()
    assert error == pytest.approx(35 - np.sqrt(1125))


@settings(max_examples=25, deadline=None)
@given(rows=rows_of(5), factors=st.integers(1, 5))
def test_the_approximation_is_the_best_of_its_rank(
    rows: list[list[tuple[int, float]]], factors: int
) -> None:
    data = rated(rows, 5)
    matrix = np.zeros((len(rows), 5))
    for user, row in enumerate(rows):
        for item, rating in row:
            matrix[user, item] = rating
    left, values, right = np.linalg.svd(matrix, full_matrices=False)
    best = (left[:, :factors] * values[:factors]) @ right[:factors]
    found = Svd(SvdConfig(factors=factors, centre="none")).fit(data).rebuild(data.histories)
    # Where singular values are equal the best is not unique; its distance is.
    assert np.linalg.norm(found - matrix) == pytest.approx(np.linalg.norm(best - matrix), abs=1e-8)


def test_lanczos_iterations_equal_the_dense_decomposition() -> None:
    rows = random_rows(130, 90, seed=0, chance=0.3)
    data = rated(rows, 90)
    model = Svd(SvdConfig(factors=4, centre="global")).fit(data, seed=5)
    matrix = np.zeros((130, 90))
    for user, row in enumerate(rows):
        for item, rating in row:
            matrix[user, item] = rating - model.mean
    left, values, right = np.linalg.svd(matrix, full_matrices=False)
    best = (left[:, :4] * values[:4]) @ right[:4] + model.mean
    assert model.rebuild(data.histories) == pytest.approx(best, abs=1e-8)
    norms = np.linalg.norm((matrix @ model.item_factors), axis=0)
    assert norms == pytest.approx(values[:4])


def test_centres_by_hand() -> None:
    # User 0 gave 2 and 4 (mean 3), user 1 gave 5; the mean of all is 11 / 3.
    rows = [[(0, 2.0), (1, 4.0)], [(1, 5.0)]]
    by_user = Svd(SvdConfig(centre="user")).fit(rated(rows, 3))
    assert by_user.rebuild(histories(rows))[:, 2] == pytest.approx([3.0, 5.0])
    by_item = Svd(SvdConfig(centre="item")).fit(rated(rows, 3))
    assert by_item.rebuild(histories([[]]))[0] == pytest.approx([2.0, 4.5, 11 / 3])
    overall = Svd(SvdConfig(centre="global")).fit(rated(rows, 3))
    assert overall.rebuild(histories([[]]))[0] == pytest.approx([11 / 3] * 3)


@pytest.mark.parametrize("centre", CENTRES)
def test_parts_of_a_score_sum_to_it(centre: str) -> None:
    model = Svd(SvdConfig(factors=2, centre=centre)).fit(rated(random_rows(12, 6, seed=3), 6))
    history = histories([[(0, 1.0), (3, 4.0), (-1, 2.0), (0, 5.0)]])
    for item in range(6):
        parts = model.explain(history, item)
        score = model.score(history, np.array([item], dtype=np.int32))[0]
        assert sum(part.amount for part in parts) == pytest.approx(score, abs=1e-6)
        # The newer rating of item 0 counts.
        assert [part.source for part in parts] == [-1, 1, 3]
    assert model.explain(history, 6) == []
    with pytest.raises(InvalidInput, match="takes one"):
        model.explain(histories([]), 0)


def test_the_number_of_factors_is_limited_by_users_and_items() -> None:
    model = Svd(SvdConfig(factors=50)).fit(dense(WORKED))
    assert model.item_factors.shape == (2, 2)


def test_constant_ratings_are_predicted() -> None:
    model = Svd().fit(dense([[3.0, 3.0, 3.0]] * 4))
    pair = np.zeros(1, dtype=np.int32)
    assert model.predict(pair, pair)[0] == 3.0


def test_equal_ratings_need_no_decomposition() -> None:
    # As a dense matrix this would take 80 GB.
    n = 100_000
    model = Svd(SvdConfig(factors=2)).fit(rated([[(user, 1.0)] for user in range(n)], n))
    assert model.item_factors.shape == (n, 2)
    assert model.predict(np.array([7], np.int32), np.array([9], np.int32))[0] == 1.0


def test_settings_out_of_bounds_are_rejected() -> None:
    with pytest.raises(InvalidInput, match="one of none, global, user, item"):
        SvdConfig(centre="median")
    with pytest.raises(InvalidInput, match=r"SvdConfig\.factors is 0"):
        SvdConfig(factors=0)
