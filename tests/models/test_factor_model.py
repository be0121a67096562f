"""What the base of the factorisations promises, shown on ALS, the simplest of them."""

import numpy as np
import pytest
from tests.models.rated_rows import histories, random_rows, rated

from nearline.errors import Damaged, InvalidInput
from nearline.models.factors import factor_model
from nearline.models.factors.als import Als, AlsConfig


@pytest.fixture(scope="module")
def model() -> Als:
    # With the usual l2 one axis is all that is left of so few ratings: all cosines are 1 or -1.
    return Als(AlsConfig(l2=0.05)).fit(rated(random_rows(15, 8, seed=2), 8))


def test_pairs_in_any_order_and_repeated(model: Als, monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(0)
    users, items = rng.integers(0, 15, 60).astype(np.int32), rng.integers(0, 8, 60).astype(np.int32)
    assert model.fitted_on is not None
    everything = np.clip(model.score_many(model.fitted_on), *model.bounds)
    assert model.predict(users, items) == pytest.approx(everything[users, items], abs=1e-6)
    whole = model.predict(users, items)
    monkeypatch.setattr(factor_model, "BLOCK", 4)
    assert model.predict(users, items) == pytest.approx(whole, abs=1e-6)
    none = np.zeros(0, dtype=np.int32)
    assert len(model.predict(none, none)) == 0


def test_neighbours_are_those_of_the_largest_cosine(model: Als) -> None:
    y = model.item_factors
    cosines = (y @ y[3]) / np.linalg.norm(y, axis=1) / np.linalg.norm(y[3])
    expected = [int(i) for i in np.argsort(-cosines) if i != 3 and cosines[i] > 0]
    found = model.similar(np.array([3], dtype=np.int32), 8)
    assert found.items[0, : len(expected)].tolist() == expected
    assert (found.items[0, len(expected) :] == -1).all()
    assert found.scores[0, 0] == pytest.approx(cosines[expected[0]], abs=1e-6)
    assert model.similar(np.zeros(0, dtype=np.int32), 2).items.shape == (0, 2)
    with pytest.raises(InvalidInput, match="items holds the index -1"):
        model.similar(np.array([-1], dtype=np.int32), 2)
    with pytest.raises(InvalidInput, match="k is 0"):
        model.similar(np.array([1], dtype=np.int32), 0)


def test_unknown_items_in_a_history_are_ignored(model: Als) -> None:
    known = model.score_many(histories([[(1, 5.0)]]))
    assert np.array_equal(model.score_many(histories([[(-1, 1.0), (1, 5.0), (80, 1.0)]])), known)


def test_a_missing_array_is_reported(model: Als) -> None:
    arrays = model.arrays()
    del arrays["item_biases"]
    with pytest.raises(Damaged, match="array 'item_biases' of als is missing"):
        Als.restore(model.config, arrays)
