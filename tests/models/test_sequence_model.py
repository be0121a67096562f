"""What sequence models add to the verbs of all models."""

import sys
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch
from tests.models.synthetic import N_GROUPS, N_ITEMS, shop

from nearline.data.dataset import Dataset, Histories
from nearline.errors import InvalidInput, MissingExtra
from nearline.models.sequence.sasrec import SasRec, SasRecConfig
from nearline.models.sequence.sequence_model import SequenceObjective, windows
from nearline.models.sequence.training_config import TrainingConfig

PLAIN, TARGETS = shop()
BRIEF = TrainingConfig(epochs=6, patience=2, batch=256, rate=0.01, warmup=0)
CONFIG = SasRecConfig(width=16, blocks=1, training=BRIEF)


@pytest.fixture(scope="module")
def fitted() -> SasRec:
    return SasRec(CONFIG).fit(PLAIN, seed=3)


def same(one: SasRec, two: SasRec) -> bool:
    arrays, others = one.arrays(), two.arrays()
    return arrays.keys() == others.keys() and all(
        a.tobytes() == others[name].tobytes() for name, a in arrays.items()
    )


def test_windows_by_hand() -> None:
    histories = Histories.from_rows([[1, 2, 3, 4, 5, 6], [7], [], [8, 9]])
    indptr, items, rows_of = windows(histories, 2)
    rows = [items[a:b].tolist() for a, b in pairwise(indptr)]
    # Every event but a row's first is told once.
    assert rows == [[4, 5, 6], [2, 3, 4], [1, 2], [8, 9]]
    assert rows_of.tolist() == [0, 0, 0, 3]


def test_training_is_deterministic_and_has_no_side_effects(fitted: SasRec) -> None:
    state, threads = torch.get_rng_state(), torch.get_num_threads()
    assert same(SasRec(CONFIG).fit(PLAIN, seed=3), fitted)
    assert not same(SasRec(CONFIG).fit(PLAIN, seed=4), fitted)
    assert torch.equal(torch.get_rng_state(), state)
    assert torch.get_num_threads() == threads


def test_early_stopping_stores_the_epochs_and_they_reproduce_the_model() -> None:
    steep = replace_training(rate=0.05, epochs=30)
    model = SasRec(steep).fit(PLAIN, validation=TARGETS, seed=3)
    epochs = model.config.training.epochs
    assert 1 <= epochs < 30
    assert model.config == replace_training(rate=0.05, epochs=epochs)
    assert same(SasRec(model.config).fit(PLAIN, seed=3), model)


def replace_training(**changes: float) -> SasRecConfig:
    training = {name: getattr(BRIEF, name) for name in BRIEF.__struct_fields__} | changes
    return SasRecConfig(width=16, blocks=1, training=TrainingConfig(**training))


def test_validation_without_targets_is_ignored(fitted: SasRec) -> None:
    nothing = Histories.from_rows([[]] * PLAIN.n_users)
    model = SasRec(CONFIG).fit(PLAIN, validation=nothing, seed=3)
    assert model.config == CONFIG
    assert same(model, fitted)


def test_a_resumed_training_equals_an_uninterrupted_one(fitted: SasRec, tmp_path: Path) -> None:
    file = tmp_path / "sasrec.safetensors"

    class StopError(Exception):
        pass

    def cut_off(done: int, total: int, what: str) -> None:
        if done >= total // 2:
            raise StopError

    with pytest.raises(StopError):
        SasRec(CONFIG, checkpoint=file).fit(PLAIN, seed=3, progress=cut_off)
    assert file.exists()
    assert same(SasRec(CONFIG, checkpoint=file).fit(PLAIN, seed=3), fitted)
    with pytest.raises(InvalidInput, match="other data, settings or seed"):
        SasRec(CONFIG, checkpoint=file).fit(PLAIN, seed=4)


def test_dislikes_and_unknown_items_are_ignored(fitted: SasRec) -> None:
    asked = Histories.from_rows([[3, -1, 9, 8, N_ITEMS + 5], [3, 9]])
    asked.weights[3] = -1.0
    scores = fitted.score_many(asked)
    assert scores[0] == pytest.approx(scores[1], rel=1e-5)
    rows = [[*PLAIN.histories.row(user).tolist(), 5] for user in range(PLAIN.n_users)]
    disliked = Histories.from_rows(rows)
    disliked.weights[disliked.indptr[1:] - 1] = 0.0
    data = replace(PLAIN, histories=disliked, values=np.zeros(len(disliked.items), np.float32))
    assert same(SasRec(CONFIG).fit(data, seed=3), fitted)


def test_only_the_last_events_are_read() -> None:
    short = SasRec(SasRecConfig(width=16, blocks=1, longest=3, training=BRIEF)).fit(PLAIN, seed=3)
    found = short.score_many(Histories.from_rows([[1, 2, 3, 4, 5], [3, 4, 5], [2, 3, 4, 5]]))
    assert found[0] == pytest.approx(found[1], rel=1e-5)
    assert found[0] == pytest.approx(found[2], rel=1e-5)


def test_a_user_without_events_gets_popular_items(fitted: SasRec) -> None:
    counts = np.bincount(PLAIN.histories.items, minlength=N_ITEMS)
    expected = np.argsort(-counts, kind="stable")[:5]
    found = fitted.recommend_from(Histories.from_rows([[], [-1]]), 5)
    assert found.items.tolist() == [expected.tolist()] * 2


@pytest.mark.parametrize("unit", [False, True])
@pytest.mark.parametrize("by", ["words", "vectors"])
def test_a_new_item_is_near_similar_items(unit: bool, by: str) -> None:
    objective = SequenceObjective(id_dropout=0.8, unit=unit, temperature=0.2 if unit else 1.0)
    data = replace(PLAIN, vectors={}) if by == "words" else replace(PLAIN, texts=None)
    config = SasRecConfig(width=16, blocks=1, objective=objective, training=BRIEF)
    fresh = SasRec(config).fit(data, seed=3)
    model = SasRec.restore(fresh.config, read_only(fresh))
    asked = PLAIN.histories.select(np.arange(20))
    before = model.score_many(asked)
    if by == "words":
        model.put_items([N_ITEMS, N_ITEMS + 1], ["group2 thing", "group0 thing"])
    else:
        colours = np.eye(N_GROUPS, dtype=np.float32)[[2, 0]]
        model.put_items([N_ITEMS, N_ITEMS + 1], ["", ""], {"colour": colours})
    assert model.n_items == N_ITEMS + 2
    after = model.score_many(asked)
    np.testing.assert_array_equal(after[:, :N_ITEMS], before)
    for item, group in ((N_ITEMS, 2), (N_ITEMS + 1, 0)):
        near = model.similar(np.array([item], dtype=np.int32), 5).items[0]
        assert (near[near < N_ITEMS] % N_GROUPS == group).all()
    own = after[np.arange(20) % N_GROUPS == 2, N_ITEMS]
    assert own.mean() > after[np.arange(20) % N_GROUPS == 1, N_ITEMS].mean()
    # New words of an item that was learned move it, and leave the learned part.
    again = SasRec.restore(model.config, read_only(model))
    texts = [PLAIN.texts[0] if PLAIN.texts else ""]
    again.put_items([0], texts, {"colour": np.eye(N_GROUPS, dtype=np.float32)[:1]})
    np.testing.assert_allclose(again.score_many(asked), after, atol=1e-4)


def read_only(model: SasRec) -> dict[str, np.ndarray]:
    arrays = {name: array.copy() for name, array in model.arrays().items()}
    for array in arrays.values():
        array.flags.writeable = False
    return arrays


def test_items_without_features_are_learned_by_id(fitted: SasRec) -> None:
    bare: Dataset = replace(PLAIN, texts=None, vectors={})
    model = SasRec(CONFIG).fit(bare, seed=3)
    model.put_items([N_ITEMS], ["words that nobody reads"])
    assert model.n_items == N_ITEMS


def test_a_missing_package_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in list(sys.modules):
        if name.startswith("nearline.neural"):
            monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "torch", None)
    with pytest.raises(MissingExtra, match=r"torch.*pip install nearline\[neural\]"):
        SasRec(CONFIG).fit(PLAIN)


@pytest.mark.parametrize(
    ("changes", "message"),
    [({"heads": 3}, "heads=3"), ({"dropout": 1.0}, "below 1"), ({"width": 0}, "width is 0")],
)
def test_invalid_settings_are_rejected(changes: dict[str, float], message: str) -> None:
    with pytest.raises(InvalidInput, match=message):
        SasRecConfig(**changes)  # type: ignore[arg-type]
