import numpy as np
import pytest
from tests.models.rated_rows import dense, histories, random_rows, rated

from nearline.errors import Damaged, InvalidInput
from nearline.models.capabilities import predict
from nearline.models.hybrids.hybrid import HybridPart
from nearline.models.hybrids.hybrid_ratings import HybridRatings, HybridRatingsConfig

ROWS = random_rows(40, 20, seed=6)
DATA = rated(ROWS, 20)
ALS = HybridPart(model="als", settings={"factors": 4})
# A model that predicts poorly: one factor, without centring.
CENTRE = HybridPart(model="svd", settings={"factors": 1, "centre": "none"})


def test_the_blend_is_the_weighted_sum() -> None:
    parts = (HybridPart(model="als", weight=0.75), HybridPart(model="svd", weight=0.5))
    model = HybridRatings(HybridRatingsConfig(parts=parts, folds=0)).fit(DATA)
    users, items = DATA.user_of_each(), DATA.histories.items
    one, two = (predict(part, users, items) for part in model.parts)
    mean = DATA.values.mean()
    expected = mean + 0.75 * (one - mean) + 0.5 * (two - mean)
    low, high = DATA.values.min(), DATA.values.max()
    found = model.predict(users, items)
    assert found == pytest.approx(np.clip(expected, low, high), abs=1e-5)
    few = DATA.histories.select(np.arange(3))
    one, two = (part.score_many(few) for part in model.parts)
    assert model.score_many(few) == pytest.approx(
        mean + 0.75 * (one - mean) + 0.5 * (two - mean), abs=1e-5
    )


def test_weights_are_learned_from_cross_validated_predictions() -> None:
    model = HybridRatings(HybridRatingsConfig(parts=(CENTRE, ALS), folds=3)).fit(DATA, seed=1)
    poor, good = (part.weight for part in model.config.parts)
    assert 0 <= poor < good
    # The same by hand: each of the three folds is predicted by models trained on the other two.
    fold_of = np.random.default_rng(1).permutation(DATA.n_interactions) % 3
    users, items = DATA.user_of_each(), DATA.histories.items
    design = np.empty((DATA.n_interactions, 2))
    for fold in range(3):
        out = fold_of == fold
        for place, part in enumerate((CENTRE, ALS)):
            only = HybridRatings(HybridRatingsConfig(parts=(part,), folds=0))
            only.fit(DATA.take(~out), seed=1)
            design[out, place] = predict(only.parts[0], users[out], items[out])
    mean = float(DATA.values.mean(dtype=np.float64))
    slope = (design - mean).T @ ((design - mean) @ [poor, good] - (DATA.values - mean))
    # Non-negative least squares: the gradient is zero, or positive where a weight is 0.
    for weight, amount in zip((poor, good), slope, strict=True):
        assert amount == pytest.approx(0.0, abs=1e-4) if weight > 0 else amount >= 0


def test_the_blend_is_restored_from_arrays_and_settings() -> None:
    model = HybridRatings(HybridRatingsConfig(parts=(ALS, CENTRE), folds=2)).fit(DATA)
    again = HybridRatings.restore(model.config, model.arrays())
    assert again.n_items == 20
    few = histories(ROWS[:4])
    assert np.array_equal(again.score_many(few), model.score_many(few))
    asked = np.arange(20, dtype=np.int32)
    best = int(np.argmax([part.weight for part in model.config.parts]))
    assert np.array_equal(model.similar(asked, 3).items, model.parts[best].similar(asked, 3).items)
    arrays = model.arrays()
    del arrays["mean_and_bounds"]
    with pytest.raises(Damaged, match="mean_and_bounds"):
        HybridRatings.restore(model.config, arrays)


def test_with_too_few_ratings_weights_do_not_change() -> None:
    model = HybridRatings().fit(dense([[3.0, 4.0]]))
    assert [part.weight for part in model.config.parts] == [0.2, 0.3, 0.5]


def test_invalid_parts_are_rejected() -> None:
    with pytest.raises(InvalidInput, match="'popularity' predicts no ratings"):
        HybridRatings(HybridRatingsConfig(parts=(HybridPart(model="popularity"),)))
    with pytest.raises(InvalidInput, match="has no parts"):
        HybridRatingsConfig(parts=())
    with pytest.raises(InvalidInput, match="folds is 1"):
        HybridRatingsConfig(folds=1)
    with pytest.raises(InvalidInput, match="no finite rating"):
        HybridRatings().fit(rated([[(0, float("nan"))]], 1))
