import numpy as np
import pytest
from tests.models.rated_rows import dense, histories, random_rows, rated

from nearline.errors import Damaged, InvalidInput
from nearline.models.factors.svdpp import Svdpp, SvdppConfig

ROWS = random_rows(30, 12, seed=4)


def test_descent_fits_the_ratings() -> None:
    data = rated(ROWS, 12)
    model = Svdpp(SvdppConfig(factors=4, epochs=60, step=0.03, l2=0.02)).fit(data)
    found = model.predict(data.user_of_each(), data.histories.items)
    errors = found - data.values
    assert np.sqrt((errors**2).mean()) < 0.6 * data.values.std()


def test_the_choice_of_rated_items_counts() -> None:
    model = Svdpp(SvdppConfig(factors=2, epochs=5)).fit(rated(ROWS, 12))
    # By hand: with ratings as predicted by biases and implicit factors nothing is left to solve.
    sums = (model.arrays()["implicit"][3] + model.arrays()["implicit"][5]) / np.sqrt(2)
    given = model.mean + model.item_biases[[3, 5]] + model.item_factors[[3, 5]] @ sums
    history = histories([[(3, float(given[0])), (5, float(given[1]))]])
    folded = model.user_factors(history)
    assert folded.factors[0] == pytest.approx(sums, abs=1e-6)
    assert folded.biases[0] == pytest.approx(0.0, abs=1e-6)


def test_an_item_without_ratings_scores_the_user_mean() -> None:
    model = Svdpp().fit(rated(ROWS, 13))
    assert model.score_many(histories([[]]))[0, 12] == pytest.approx(model.mean)


def test_constant_ratings_are_predicted() -> None:
    model = Svdpp().fit(dense([[2.0, 2.0], [2.0, 2.0]]))
    pair = np.zeros(1, dtype=np.int32)
    assert model.predict(pair, pair)[0] == 2.0


# Without compilation numpy warns of the overflow, too.
@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_a_diverging_learning_rate_is_reported() -> None:
    with pytest.raises(InvalidInput, match="diverged with step=40"):
        Svdpp(SvdppConfig(step=40.0)).fit(rated(ROWS, 12))


def test_a_missing_array_is_reported() -> None:
    model = Svdpp(SvdppConfig(epochs=1)).fit(rated(ROWS, 12))
    arrays = model.arrays()
    del arrays["implicit"]
    with pytest.raises(Damaged, match="'implicit' of svdpp"):
        Svdpp.restore(model.config, arrays)


@pytest.mark.parametrize(
    "settings",
    [
        {"factors": 0},
        {"epochs": 0},
        {"step": 0.0},
        {"decay": 1.1},
        {"l2": 0.0},
        {"bias_l2": 0.0},
        {"implicit_l2": -0.1},
    ],
)
def test_settings_out_of_bounds_are_rejected(settings: dict[str, float]) -> None:
    with pytest.raises(InvalidInput, match=rf"SvdppConfig\.{next(iter(settings))} is"):
        SvdppConfig(**settings)  # type: ignore[arg-type]
