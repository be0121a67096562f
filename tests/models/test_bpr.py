"""BPR: pairs are put in order, users are folded in, strange data is refused."""

from dataclasses import replace

import numpy as np
import pytest
from tests.models.synthetic import dataset, recall, shop

from nearline.data.dataset import Dataset, Histories
from nearline.errors import Damaged, InvalidInput
from nearline.models.capabilities import explain
from nearline.models.factors.bpr import Bpr, BprConfig

SMALL = BprConfig(factors=16, epochs=40, l2=0.02)


def auc(model: Bpr, data: Dataset, targets: Histories) -> float:
    """Share of (target, unseen item) pairs of a user in the right order."""
    scores = model.score_many(data.histories).astype(np.float64)
    shares = []
    for user, target in enumerate(targets.items):
        others = np.setdiff1d(np.arange(data.n_items), [*data.histories.row(user), target])
        shares.append((scores[user, target] > scores[user, others]).mean())
    return float(np.mean(shares))


def test_held_out_pairs_are_ordered() -> None:
    data, targets = shop()
    short = Bpr(BprConfig(factors=16, epochs=1, rate=1e-4, fold_in_passes=1)).fit(data)
    popular = Bpr(BprConfig(factors=16, epochs=40, negatives="popularity")).fit(data)
    long = Bpr(SMALL).fit(data)
    assert auc(short, data, targets) < 0.65
    assert auc(long, data, targets) > 0.75
    assert auc(popular, data, targets) > 0.65


def test_users_are_folded_in() -> None:
    data, targets = shop()
    model = Bpr(SMALL).fit(data)
    group = [0, 4, 8]
    listed = model.recommend_from(Histories.from_rows([group]), 5).items[0]
    assert (listed % 4 == 0).sum() >= 4
    assert not np.isin(listed, group).any()
    assert recall(model.recommend_from(data.histories, 10).items, targets) > 0.4
    # Nothing known: the items by bias, for everybody the same.
    nobody = model.recommend_from(Histories.from_rows([[], [-1], [99]]), 5)
    assert (nobody.items == nobody.items[0]).all()
    assert np.array_equal(nobody.scores[0], np.sort(model.arrays()["biases"])[::-1][:5])
    assert model.n_items == 60


def test_explanations_have_a_single_part() -> None:
    data, _ = shop()
    model = Bpr(SMALL).fit(data)
    history = Histories.from_rows([[0, 4]])
    (part,) = explain(model, history, 8)
    assert (part.source, part.relation) == (-1, "bpr")
    assert part.amount == pytest.approx(float(model.score_many(history)[0, 8]))


def test_degenerate_data() -> None:
    empty = Bpr(SMALL).fit(dataset([[], []], 3))
    assert np.isfinite(empty.score_many(Histories.from_rows([[], [0]]))).all()
    none = Bpr(SMALL).fit(dataset([[]], 0))
    assert none.recommend_from(Histories.from_rows([[]]), 2).items.tolist() == [[-1, -1]]
    # A user who liked everything has no other item to compare with.
    full = Bpr(SMALL).fit(dataset([[0, 1]], 2))
    assert full.recommend_from(Histories.from_rows([[0, 1]]), 2).items.tolist() == [[-1, -1]]
    data = dataset([[0, 1]], 3)
    wrong = np.array([1, np.inf], dtype=np.float32)
    with pytest.raises(InvalidInput, match="weight inf"):
        Bpr(SMALL).fit(replace(data, histories=replace(data.histories, weights=wrong)))
    with pytest.raises(Damaged, match="items"):
        Bpr.restore(SMALL, {})


def test_a_diverging_learning_rate_is_reported() -> None:
    data, _ = shop()
    with pytest.raises(InvalidInput, match="lower it"):
        Bpr(BprConfig(factors=4, epochs=60, rate=1.0, l2=10.0)).fit(data)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"rate": 0.0}, "rate is 0.0; it must be above 0 and at most 1"),
        ({"negatives": "hard"}, "'hard'; it must be one of uniform, popularity"),
        ({"factors": 0}, "factors is 0"),
    ],
)
def test_invalid_settings_are_rejected(settings: dict[str, float], message: str) -> None:
    with pytest.raises(InvalidInput, match=message):
        BprConfig(**settings)  # type: ignore[arg-type]
