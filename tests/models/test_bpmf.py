import numpy as np
import pytest
from scipy.stats import wishart
from tests import naive_factors as naive
from tests.models.rated_rows import dense, histories, random_rows, rated

from nearline.errors import InvalidInput
from nearline.models.factors.als import Als
from nearline.models.factors.bpmf import Bpmf, BpmfConfig, draw_wishart

ROWS = random_rows(60, 25, seed=5, chance=0.5)


def split() -> tuple[list[list[tuple[int, float]]], list[tuple[int, int, float]]]:
    """Training rows, and every fifth rating held out."""
    train, test = [], []
    for user, row in enumerate(ROWS):
        train.append([pair for at, pair in enumerate(row) if at % 5])
        test += [(user, item, rating) for at, (item, rating) in enumerate(row) if at % 5 == 0]
    return train, test


def test_held_out_ratings_are_predicted() -> None:
    train, test = split()
    users, items = (np.array([row[at] for row in test], dtype=np.int32) for at in (0, 1))
    truth = np.array([row[2] for row in test])
    data = rated(train, 25)
    errors = {
        name: np.sqrt(np.mean((model.fit(data).predict(users, items) - truth) ** 2))
        for name, model in {"bpmf": Bpmf(), "als": Als()}.items()
    }
    assert errors["bpmf"] < errors["als"] < truth.std()


def test_user_factors_average_ridge_regressions_over_samples() -> None:
    model = Bpmf(BpmfConfig(factors=2, burn_in=1, draws=3)).fit(rated(ROWS, 25))
    arrays, row = model.arrays(), ROWS[0]
    scores = np.zeros(25)
    for draw in range(3):
        items = arrays["item_factors"][:, 2 * draw : 2 * draw + 2].astype(np.float64)
        prior, mean = arrays["user_precisions"][draw], arrays["user_means"][draw]
        # The prior mean taken off: what is left is a ridge regression towards 0.
        left = [(item, rating - model.mean - items[item] @ mean) for item, rating in row]
        user = mean + naive.ridge(left, items, prior / arrays["noise_precisions"][draw])
        scores += items @ user / 3
    found = model.score_many(histories([row]))[0]
    assert found == pytest.approx(model.mean + scores, abs=1e-4)


def test_constant_ratings_are_predicted() -> None:
    model = Bpmf().fit(dense([[3.0, 3.0], [3.0, 3.0]]))
    pair = np.zeros(1, dtype=np.int32)
    assert model.predict(pair, pair)[0] == 3.0
    assert np.isfinite(model.score_many(histories([[], [(0, 3.0)]]))).all()


def test_settings_out_of_bounds_are_rejected() -> None:
    for field, value in (("factors", 0), ("burn_in", -1), ("draws", 0)):
        with pytest.raises(InvalidInput, match=rf"BpmfConfig\.{field} is {value}"):
            BpmfConfig(**{field: value})


@pytest.mark.parametrize("f", [1, 2, 5])
def test_wishart_draws_equal_scipy(f: int) -> None:
    half = np.random.default_rng(f).normal(size=(f, f + 2))
    scale = half @ half.T
    wanted = wishart.rvs(df=f + 7, scale=scale, random_state=np.random.default_rng(4))
    found = draw_wishart(f + 7, scale, np.random.default_rng(4))
    np.testing.assert_allclose(found, np.reshape(wanted, (f, f)), rtol=1e-12)
