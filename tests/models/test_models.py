"""One suite for every model class: what the verbs promise, whatever the algorithm."""

from dataclasses import replace
from typing import Any

import msgspec
import numpy as np
import pytest
from tests.models.synthetic import N_ITEMS, N_USERS, recall, shop

from nearline.data.dataset import Dataset, Histories
from nearline.errors import Damaged, InvalidInput, NotTrained
from nearline.models.base import Model, Ranking
from nearline.models.capabilities import PredictsRatings
from nearline.models.factors.als import Als, AlsConfig
from nearline.models.factors.bpmf import Bpmf, BpmfConfig
from nearline.models.factors.implicit_als import ImplicitAls
from nearline.models.factors.implicit_als_config import ImplicitAlsConfig
from nearline.models.factors.svdpp import Svdpp, SvdppConfig
from nearline.models.hybrids.blend import Blend, BlendConfig, BlendPart
from nearline.models.hybrids.hybrid import HybridPart
from nearline.models.hybrids.hybrid_ratings import HybridRatings, HybridRatingsConfig
from nearline.models.hybrids.learned_ranking import LearnedRanking, LearnedRankingConfig
from nearline.models.linear.ease import Ease, EaseConfig
from nearline.models.registry import discover
from nearline.models.sequence.gru4rec import Gru4Rec, Gru4RecConfig
from nearline.models.sequence.ncf import Ncf, NcfConfig
from nearline.models.sequence.nextitnet import NextItNet, NextItNetConfig
from nearline.models.sequence.sasrec import SasRec, SasRecConfig
from nearline.models.sequence.training_config import TrainingConfig
from nearline.models.sequence.two_tower import TwoTower, TwoTowerConfig

PLAIN, TARGETS = shop()
RATED = PLAIN.rated()
K = 10
MODELS = discover()

# Networks and chains run for minutes to hours in practice; here a few small steps are enough.
BRIEF = TrainingConfig(epochs=12, batch=256, rate=0.01, warmup=0)
PARTS = (
    BlendPart(model="item_graph", settings={"search": {"evaluations": 3}}),
    BlendPart(model="implicit_als", settings={"factors": 8}, weight=0.3),
)
QUICK: dict[type[Model], Any] = {
    Blend: BlendConfig(parts=PARTS),
    LearnedRanking: LearnedRankingConfig(parts=PARTS, trees=20),
    Bpmf: BpmfConfig(factors=4, burn_in=5, draws=15),
    HybridRatings: HybridRatingsConfig(
        parts=(
            HybridPart(model="als", settings={"factors": 4, "sweeps": 3}),
            HybridPart(model="bpmf", settings={"factors": 4, "burn_in": 5, "draws": 5}),
        ),
        folds=2,
    ),
    Gru4Rec: Gru4RecConfig(width=16, hidden=16, training=BRIEF),
    Ncf: NcfConfig(width=8, hidden=(16, 8), training=BRIEF),
    NextItNet: NextItNetConfig(width=16, training=BRIEF),
    TwoTower: TwoTowerConfig(width=16, hidden=16, training=BRIEF),
    SasRec: SasRecConfig(width=16, blocks=1, training=BRIEF),
}

# A list of ten drawn blindly from the unseen items holds the target this often.
CHANCE = K / (N_ITEMS - 7)


@pytest.fixture(scope="module", params=sorted(MODELS))
def fitted(request: pytest.FixtureRequest) -> Model:
    kind = MODELS[request.param]
    return kind(QUICK.get(kind)).fit(RATED if kind.needs_ratings else PLAIN, seed=3)


@pytest.fixture
def data(fitted: Model) -> Dataset:
    """What the model was fitted on."""
    return RATED if fitted.needs_ratings else PLAIN


@pytest.fixture(params=sorted(MODELS))
def kind(request: pytest.FixtureRequest) -> type[Model]:
    return MODELS[request.param]


def same(one: Ranking, two: Ranking) -> bool:
    return np.array_equal(one.items, two.items) and np.array_equal(one.scores, two.scores)


def test_models_are_discovered() -> None:
    assert {"item_graph", "popularity", "trending"} <= MODELS.keys()
    assert list(MODELS) == sorted(MODELS)


def test_lists_are_better_than_chance(fitted: Model, data: Dataset) -> None:
    found = fitted.recommend_from(data.histories, K)
    assert recall(found.items, TARGETS) > 1.5 * CHANCE


def test_a_list_is_well_formed(fitted: Model, data: Dataset) -> None:
    found = fitted.recommend_from(data.histories, K)
    assert found.items.dtype == np.int32
    assert found.scores.dtype == np.float32
    assert found.items.shape == found.scores.shape == (N_USERS, K)
    for items, scores in zip(found.items, found.scores, strict=True):
        filled = items[items >= 0]
        assert len(set(filled.tolist())) == len(filled)
        assert (items[len(filled) :] == -1).all()
        assert (scores[len(filled) :] == 0).all()
        assert (np.diff(scores[: len(filled)]) <= 0).all()


def test_lists_hold_the_best_scores(fitted: Model, data: Dataset) -> None:
    few = data.histories.select(np.arange(20))
    scores = fitted.score_many(few)
    assert scores.shape == (20, N_ITEMS)
    assert scores.dtype == np.float32
    found = fitted.recommend_from(few, K, exclude_seen=False)
    for row, items, listed in zip(scores, found.items, found.scores, strict=True):
        kept = items >= 0
        assert row[items[kept]] == pytest.approx(listed[kept], rel=1e-5, abs=1e-6)
        assert listed[kept] == pytest.approx(np.sort(row)[::-1][: kept.sum()], rel=1e-5, abs=1e-6)


def test_batch_equals_scalar(fitted: Model, data: Dataset) -> None:
    batch = fitted.recommend_from(data.histories, K)
    for user in range(0, N_USERS, 17):
        one = fitted.recommend_from(data.histories.select(np.array([user])), K)
        assert np.array_equal(one.items[0], batch.items[user])
        assert one.scores[0] == pytest.approx(batch.scores[user], rel=1e-5)


def test_known_users_are_looked_up_and_histories_override_them(
    fitted: Model, data: Dataset
) -> None:
    users = np.array([5, 0, 5], dtype=np.int32)
    given = data.histories.select(users)
    assert same(fitted.recommend(users, K), fitted.recommend_from(given, K))
    other = Histories.from_rows([[1], [2], [3]])
    assert same(fitted.recommend(users, K, histories=other), fitted.recommend_from(other, K))
    restored = type(fitted).restore(fitted.config, fitted.arrays())
    with pytest.raises(NotTrained, match="histories"):
        restored.recommend(users, K)


def test_seen_items_are_excluded_only_on_request(fitted: Model, data: Dataset) -> None:
    for user, items in enumerate(fitted.recommend_from(data.histories, N_ITEMS).items):
        assert not np.isin(items, data.histories.row(user)).any()
    every = fitted.recommend_from(data.histories, N_ITEMS, exclude_seen=False).items
    assert any(np.isin(items, data.histories.row(u)).any() for u, items in enumerate(every))


def test_only_allowed_items_are_listed(fitted: Model, data: Dataset) -> None:
    allowed = np.zeros(N_ITEMS, dtype=np.bool_)
    allowed[:20] = True
    items = fitted.recommend_from(data.histories, N_ITEMS, allowed=allowed).items
    assert items.max() < 20
    assert (items >= 0).any()
    nothing = fitted.recommend_from(data.histories, 3, allowed=np.zeros(N_ITEMS, dtype=np.bool_))
    assert (nothing.items == -1).all()


def test_k_may_be_larger_than_the_catalogue(fitted: Model, data: Dataset) -> None:
    found = fitted.recommend_from(data.histories, 3 * N_ITEMS)
    assert found.items.shape == (N_USERS, 3 * N_ITEMS)
    assert (found.items[:, N_ITEMS:] == -1).all()
    with pytest.raises(InvalidInput, match="k is 0"):
        fitted.recommend_from(data.histories, 0)


def test_unusual_histories_are_answered(fitted: Model) -> None:
    strange = Histories.from_rows([[], [-1, -1], [0, -1], [5, 5, 5], list(range(N_ITEMS))])
    found = fitted.recommend_from(strange, K)
    assert found.items.shape == (5, K)
    assert np.isfinite(found.scores).all()
    assert (found.items[4] == -1).all()
    none = fitted.recommend_from(Histories.from_rows([]), K)
    assert none.items.shape == (0, K)


def test_similar_excludes_the_item_itself(fitted: Model) -> None:
    asked = np.arange(N_ITEMS, dtype=np.int32)
    found = fitted.similar(asked, 5)
    assert found.items.shape == (N_ITEMS, 5)
    assert not (found.items == asked[:, None]).any()


def test_the_same_seed_gives_the_same_model(fitted: Model, data: Dataset) -> None:
    again = type(fitted)(fitted.config).fit(data, seed=3)
    assert same(fitted.recommend_from(data.histories, K), again.recommend_from(data.histories, K))


def test_a_model_is_restored_from_arrays_and_settings(fitted: Model, data: Dataset) -> None:
    settings = msgspec.json.decode(msgspec.json.encode(fitted.config), type=fitted.config_type)
    arrays = {name: read_only(array) for name, array in fitted.arrays().items()}
    again = type(fitted).restore(settings, arrays)
    assert same(fitted.recommend_from(data.histories, K), again.recommend_from(data.histories, K))
    asked = np.arange(N_ITEMS, dtype=np.int32)
    assert same(fitted.similar(asked, K), again.similar(asked, K))
    for name, array in again.arrays().items():
        assert np.array_equal(array, arrays[name]), name


def test_missing_arrays_are_reported(fitted: Model) -> None:
    with pytest.raises(Damaged, match="is missing; fit again"):
        type(fitted).restore(fitted.config, {})


def read_only(array: Any) -> Any:
    assert isinstance(array, np.ndarray)
    assert array.dtype != object
    copy = array.copy()
    copy.flags.writeable = False
    return copy


def test_fitting_does_not_change_the_data(fitted: Model, data: Dataset) -> None:
    before = data.histories.items.copy(), data.histories.weights.copy()
    type(fitted)(fitted.config).fit(data, validation=TARGETS, seed=3)
    assert np.array_equal(before[0], data.histories.items)
    assert np.array_equal(before[1], data.histories.weights)


def test_unknown_settings_are_rejected(fitted: Model) -> None:
    with pytest.raises(msgspec.ValidationError, match="unknown field"):
        msgspec.convert({"no_such_setting": 1}, fitted.config_type)
    with pytest.raises(AttributeError):
        fitted.config.no_such_setting = 1


def fresh(kind: type[Model]) -> Model:
    """Return a model with default settings, or small ones if fitting takes long."""
    return kind(QUICK.get(kind))


def small(rows: list[list[int]], n_items: int, *, value: float | None = None) -> Dataset:
    """Users who rated what they took `value`, or 1 to 5 in turns; every item has features."""
    histories = Histories.from_rows(rows)
    numbers = np.arange(len(histories.items)) % 5 + 1
    return Dataset(
        user_ids=[f"u{user}" for user in range(len(rows))],
        item_ids=[f"i{item}" for item in range(n_items)],
        histories=histories,
        values=(numbers if value is None else np.full(len(numbers), value)).astype(np.float32),
        texts=[f"colour{item % 3} thing" for item in range(n_items)],
        vectors={"v": np.eye(3, dtype=np.float32)[np.arange(n_items) % 3]},
    )


ROWS = [[0, 1, 2], [1, 2, 3], [0, 2, 3], [3, 1]]
ODD = {
    "users without events, and an item that nobody took": small([[], *ROWS, []], 5),
    "all users alike: a matrix of rank one": small([[0, 1, 2, 3]] * 6, 5),
    "everybody took everything": small([[0, 1, 2, 3]] * 4, 4),
    "one class: every rating the same": small(ROWS, 5, value=4.0),
    "one user": small([[0, 1, 2]], 5),
    "one item": small([[0], [0]], 1),
    "one event": small([[0]], 2),
}


@pytest.mark.parametrize("odd", ODD)
def test_degenerate_data_is_fitted_and_answered(kind: type[Model], odd: str) -> None:
    data = ODD[odd]
    model = fresh(kind).fit(data, seed=1)
    histories = (data.rated() if kind.needs_ratings else data).histories
    asked = Histories.from_rows([[], [0], [-1]])
    for found in (model.recommend_from(histories, 9), model.recommend_from(asked, 9)):
        assert found.items.shape[1] == 9
        assert found.items.max() < data.n_items
        assert np.isfinite(found.scores).all()
        assert (found.scores[found.items < 0] == 0).all()
    for user, items in enumerate(model.recommend_from(histories, 9).items):
        assert not np.isin(items[items >= 0], data.histories.row(user)).any()
    assert np.isfinite(model.score_many(asked)).all()
    assert model.similar(np.array([0], dtype=np.int32), 9).items.max() < data.n_items


@pytest.mark.parametrize("rows", [[], [[], []]])
def test_data_without_events(kind: type[Model], rows: list[list[int]]) -> None:
    data = small(rows, 3)
    if kind.needs_ratings:
        with pytest.raises(InvalidInput, match="no finite rating; fill the column 'value'"):
            fresh(kind).fit(data)
        return
    model = fresh(kind).fit(data)
    found = model.recommend_from(Histories.from_rows([[], [0]]), 5)
    # There is nothing to go by but the content of item 0, and what the seed drew.
    assert np.isfinite(found.scores).all()
    assert found.items.max() < 3
    empty = fresh(kind).fit(small(rows, 0)).recommend_from(Histories.from_rows([[]]), 2)
    assert (empty.items == -1).all()


def test_items_without_features(kind: type[Model]) -> None:
    bare = replace(small(ROWS, 5), texts=None, vectors={})
    if kind.name in ("content", "word2vec"):
        with pytest.raises(InvalidInput, match="no item has text"):
            fresh(kind).fit(bare)
    else:
        fresh(kind).fit(bare)
    # Items 0 and 1 alone say something: only content knows the others by nothing.
    some = replace(bare, texts=["red hat", "red hat", "", "", ""])
    found = fresh(kind).fit(some).recommend_from(Histories.from_rows([[0], [4]]), 5)
    assert np.isfinite(found.scores).all()
    if kind.name in ("content", "word2vec"):
        assert not np.isin(found.items, [2, 3, 4]).any()


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_training_values_that_are_not_finite(kind: type[Model], bad: float) -> None:
    data = small(ROWS, 5)
    if kind.needs_ratings:
        # A rating that is none is left out: the model is that of the others.
        data.values[3] = bad
        without = data.take(np.arange(data.n_interactions) != 3)
        one, two = fresh(kind).fit(data, seed=1), fresh(kind).fit(without, seed=1)
        asked = Histories.from_rows([[0]])
        assert np.array_equal(one.score_many(asked), two.score_many(asked))
    else:
        data.histories.weights[3] = bad
        with pytest.raises(InvalidInput, match=f"event 3 has the weight {bad}; weights must be"):
            fresh(kind).fit(data)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_a_history_that_is_not_finite(fitted: Model, bad: float) -> None:
    history = Histories.from_rows([[0, 1, 2]])
    before = fitted.recommend_from(history, K)
    history.weights[1] = bad
    if fitted.name in ("popularity", "trending"):
        # These look at what was seen, and at no weight.
        assert same(fitted.recommend_from(history, K), before)
    else:
        with pytest.raises(InvalidInput, match="finite"):
            fitted.recommend_from(history, K)


def test_unknown_items_in_the_data_are_ignored(kind: type[Model]) -> None:
    data = small([[0, -1, 1, 2], [1, -1, 2, 3], [0, 2, -1]], 5)
    found = fresh(kind).fit(data, seed=1).recommend_from(Histories.from_rows([[0], [-1, 3]]), 5)
    assert np.isfinite(found.scores).all()
    assert found.items.max() < 5


@pytest.mark.parametrize("name", [name for name in MODELS if MODELS[name].needs_ratings])
def test_predictions_are_on_the_scale_for_every_pair(name: str) -> None:
    # User 4 rated nothing, and nobody rated item 4.
    data = small([*ROWS, []], 5)
    model = fresh(MODELS[name]).fit(data, seed=1)
    assert isinstance(model, PredictsRatings)
    users, items = (grid.ravel().astype(np.int32) for grid in np.mgrid[:5, :5])
    found = model.predict(users, items)
    assert found.dtype == np.float32
    assert ((found >= 1) & (found <= 5)).all()
    # Of both unknown there is the mean; sampling draws what it does not know.
    mean = float(data.values.mean())
    assert found[-1] == pytest.approx(mean, abs=0.5 if name == "bpmf" else 1e-5)
    for unknown in (5, -1):
        wrong = np.array([unknown], dtype=np.int32)
        with pytest.raises(InvalidInput, match=f"users holds the index {unknown}"):
            model.predict(wrong, items[:1])
        with pytest.raises(InvalidInput, match=f"items holds the index {unknown}"):
            model.predict(users[:1], wrong)


@pytest.mark.parametrize(
    "model",
    [
        Als(AlsConfig(l2=1e-300, bias_l2=1e-300)),
        Svdpp(SvdppConfig(l2=1e-300, bias_l2=1e-300)),
        Ease(EaseConfig(l2=1e-300)),
        ImplicitAls(ImplicitAlsConfig(regularization=1e-6, solver="cholesky")),
    ],
    ids=lambda model: model.name,
)
def test_a_penalty_too_small_for_a_singular_matrix_is_reported(model: Model) -> None:
    data = ODD["all users alike: a matrix of rank one"]
    with pytest.raises(InvalidInput, match="raise"):
        model.fit(data).score_many(data.histories)
