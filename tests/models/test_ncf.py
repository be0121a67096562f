"""What neural collaborative filtering adds to the verbs of all models."""

import sys

import numpy as np
import pytest
from tests.models.synthetic import N_ITEMS, recall, shop

from nearline.data.dataset import Histories
from nearline.errors import InvalidInput, MissingExtra
from nearline.models.sequence import ncf
from nearline.models.sequence.ncf import Ncf, NcfConfig, liked_sets
from nearline.models.sequence.training_config import TrainingConfig

PLAIN, TARGETS = shop()
BRIEF = TrainingConfig(epochs=10, patience=2, batch=256, rate=0.02, warmup=0)
CONFIG = NcfConfig(width=8, hidden=(16, 8), training=BRIEF)


@pytest.fixture(scope="module")
def fitted() -> Ncf:
    return Ncf(CONFIG).fit(PLAIN, seed=3)


@pytest.mark.parametrize("kind", ["gmf", "mlp"])
def test_each_kind_finds_the_groups(kind: str) -> None:
    config = NcfConfig(kind=kind, width=8, hidden=(16, 8), training=BRIEF)
    model = Ncf(config).fit(PLAIN, seed=3)
    found = model.recommend_from(PLAIN.histories, 10)
    # Ten of the 53 that are left, drawn blindly, hold the target of every fifth user.
    assert recall(found.items, TARGETS) > 0.35


def test_users_by_hand(fitted: Ncf) -> None:
    """The set of what was liked: order, repeats, dislikes and unknown items say nothing."""
    asked = Histories.from_rows([[3, 9], [9, 3, 3, -1, 8, N_ITEMS + 5]])
    asked.weights[6] = -1.0
    scores = fitted.score_many(asked)
    np.testing.assert_allclose(scores[1], scores[0], rtol=1e-5)
    read = fitted.arrays()["read"]
    user = (read[3] + read[9]) / np.sqrt(np.float32(2))
    assert fitted._graph is not None
    expected = fitted._graph(users=user[None], items=fitted.arrays()["table"])[0]
    np.testing.assert_allclose(scores[:1], expected, rtol=1e-5, atol=1e-6)


def test_blocks_do_not_change_the_result(fitted: Ncf, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = fitted.score_many(PLAIN.histories)
    monkeypatch.setattr(ncf, "PAIRS", 7)
    some = PLAIN.histories.select(np.arange(5))
    np.testing.assert_allclose(fitted.score_many(some), whole[:5], rtol=1e-5, atol=1e-6)


def test_a_user_without_events_gets_popular_items(fitted: Ncf) -> None:
    counts = np.bincount(PLAIN.histories.items, minlength=N_ITEMS)
    expected = np.argsort(-counts, kind="stable")[:5]
    found = fitted.recommend_from(Histories.from_rows([[], [-1]]), 5)
    assert found.items.tolist() == [expected.tolist()] * 2


def test_early_stopping_stores_the_epochs() -> None:
    training = TrainingConfig(epochs=30, patience=2, batch=256, rate=0.1, warmup=0)
    config = NcfConfig(kind="gmf", width=8, training=training)
    model = Ncf(config).fit(PLAIN, validation=TARGETS, seed=3)
    assert 1 <= model.config.training.epochs < 30
    again = Ncf(model.config).fit(PLAIN, seed=3)
    for name, array in model.arrays().items():
        assert array.tobytes() == again.arrays()[name].tobytes()


def test_sets_by_hand() -> None:
    histories = Histories.from_rows([[2, 0, 2], [], [-1, 4, 3]])
    histories.weights[5] = 0.0
    assert liked_sets(histories, 4).toarray().tolist() == [[1, 0, 1, 0], [0] * 4, [0] * 4]


def test_validation_without_targets_is_ignored(fitted: Ncf) -> None:
    nothing = Histories.from_rows([[]] * PLAIN.n_users)
    model = Ncf(CONFIG).fit(PLAIN, validation=nothing, seed=3)
    assert model.config == CONFIG
    assert np.array_equal(model.arrays()["table"], fitted.arrays()["table"])


def test_a_missing_package_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in list(sys.modules):
        if name.startswith("nearline.neural"):
            monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "torch", None)
    with pytest.raises(MissingExtra, match=r"torch.*pip install nearline\[neural\]"):
        Ncf(CONFIG).fit(PLAIN)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"kind": "cnn"}, "must be one of neumf, gmf, mlp"),
        ({"hidden": ()}, "at least one layer"),
        ({"hidden": (8, 0)}, "each must be at least 1"),
        ({"dropout": 1.0}, "must be below"),
        ({"negatives": 0}, "negatives is 0"),
    ],
)
def test_invalid_settings_are_rejected(changes: dict[str, object], message: str) -> None:
    with pytest.raises(InvalidInput, match=message):
        NcfConfig(**changes)  # type: ignore[arg-type]
