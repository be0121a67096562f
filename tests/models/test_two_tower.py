"""Features of users in the user tower."""

from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest

from nearline.data import Dataset, Histories, make_dataset, read_interactions, read_users
from nearline.errors import InvalidInput
from nearline.models.sequence.training_config import TrainingConfig
from nearline.models.sequence.two_tower import TwoTower, TwoTowerConfig
from nearline.models.validation import mean_ndcg

TRAINING = TrainingConfig(epochs=12, batch=256, rate=0.01, warmup=0, memory=1)
CONFIG = TwoTowerConfig(width=16, hidden=16, training=TRAINING)
N_USERS, N_COLD = 200, 40


def shop() -> Dataset:
    """Three in four users are adults, who begin with items 0 to 4; children begin with 5 to 9.

    What comes second says nothing. The last users have done nothing yet.
    """
    rng = np.random.default_rng(0)
    events, users = [], []
    for user in range(N_USERS + N_COLD):
        child = user % 4 == 0
        users.append({"user_id": f"u{user}", "kind": "child" if child else "adult", "age": 40.0})
        if user < N_USERS:
            first, second = rng.integers(5) + 5 * child, 10 + rng.integers(10)
            for time, item in enumerate((first, second)[: 1 + user % 2]):
                events.append({"user_id": f"u{user}", "item_id": f"i{item}", "timestamp": time})
    catalogue = pa.Table.from_pylist(users)
    table = read_interactions(pa.Table.from_pylist(events))
    return make_dataset(table, users=read_users(catalogue)[0])


DATA = shop()
COLD = np.arange(N_USERS, N_USERS + N_COLD, dtype=np.int32)
NUMBERS = [int(item_id[1:]) for item_id in DATA.item_ids]
EMPTY = Histories.from_rows([[]])


def firsts(*, child: bool) -> set[int]:
    return {at for at, number in enumerate(NUMBERS) if number // 5 == int(child)}


@pytest.fixture(scope="module")
def fitted() -> TwoTower:
    return TwoTower(CONFIG).fit(DATA, seed=3)


def features(model: TwoTower, kind: str) -> np.ndarray:
    assert model.user_encoder is not None
    return model.user_encoder.encode(pa.table({"kind": [kind]}))


def test_attributes_by_name_are_encoded_like_a_table_of_users() -> None:
    encoder = DATA.user_encoder
    assert encoder is not None
    model = TwoTower(CONFIG)
    assert model.user_features([{"kind": "child"}]) is None  # fitted without attributes
    model.user_encoder = encoder
    found = model.user_features(
        [{"kind": "child", "age": 40, "other": [1]}, {}, {"kind": ["adult"]}]
    )
    assert found is not None
    assert (
        found[0].tolist()
        == encoder.encode(pa.table({"kind": ["child"], "age": [40.0]}))[0].tolist()
    )
    assert not found[1:].any()


def test_users_without_history_get_lists_by_their_features(fitted: TwoTower) -> None:
    found = fitted.recommend(COLD, 5)
    popular = fitted.recommend_from(Histories.from_rows([[]] * N_COLD), 5)
    truth = [sorted(firsts(child=user % 4 == 0)) for user in COLD.tolist()]
    wanted = Histories.from_rows(truth)
    assert mean_ndcg(found.items, wanted) > 0.9
    assert mean_ndcg(found.items, wanted) > mean_ndcg(popular.items, wanted) + 0.1


def test_vectors_differ_by_features_alone(fitted: TwoTower) -> None:
    child, adult = (features(fitted, kind) for kind in ("child", "adult"))
    one, two = (fitted.user_vectors(replace(EMPTY, features=kind)) for kind in (child, adult))
    assert np.linalg.norm(one) == pytest.approx(10.0, rel=1e-4)  # one over the temperature
    assert not np.allclose(one, two, atol=0.1)
    # A history counts beside them.
    asked = Histories.from_rows([[0]])
    assert not np.allclose(fitted.user_vectors(replace(asked, features=child)), one, atol=0.1)
    assert not np.allclose(
        fitted.user_vectors(replace(asked, features=child)),
        fitted.user_vectors(replace(asked, features=adult)),
        atol=0.01,
    )


def test_known_users_are_looked_up(fitted: TwoTower) -> None:
    users = np.array([7, 201, 7], dtype=np.int32)
    assert DATA.user_features is not None
    asked = DATA.histories.select(users)
    expected = fitted.recommend_from(replace(asked, features=DATA.user_features[users]), 4)
    found = fitted.recommend(users, 4)
    assert np.array_equal(found.items, expected.items)
    assert np.array_equal(found.scores, expected.scores)
    assert np.array_equal(found.items[0], found.items[2])


def test_users_without_events_and_features_get_popular_items(fitted: TwoTower) -> None:
    plain = fitted.recommend_from(EMPTY, 3)
    counts = np.bincount(DATA.histories.items, minlength=DATA.n_items)
    assert plain.items[0].tolist() == np.argsort(-counts, kind="stable")[:3].tolist()
    nothing = 0 * features(fitted, "child")
    assert np.array_equal(
        fitted.recommend_from(replace(EMPTY, features=nothing), 3).items, plain.items
    )


def test_a_restored_model_answers_new_users(fitted: TwoTower) -> None:
    again = TwoTower.restore(fitted.config, fitted.arrays())
    for kind in ("child", "adult"):
        told = features(again, kind)
        assert np.array_equal(told, features(fitted, kind))
        found = again.recommend_from(replace(EMPTY, features=told), 5)
        assert np.array_equal(
            found.items, fitted.recommend_from(replace(EMPTY, features=told), 5).items
        )
        assert set(found.items[0].tolist()) == firsts(child=kind == "child")


def test_the_order_of_users_rows_and_validation(fitted: TwoTower) -> None:
    again = TwoTower(CONFIG).fit(DATA, seed=3)
    assert again.arrays()["table"].tobytes() == fitted.arrays()["table"].tobytes()
    # Cold users are judged by their features too: a first item of the own kind is foreseen.
    truth = Histories.from_rows(
        [[]] * N_USERS + [sorted(firsts(child=user % 4 == 0))[:1] for user in COLD.tolist()]
    )
    chosen = TwoTower(CONFIG).fit(DATA, validation=truth, seed=3)
    assert 1 <= chosen.config.training.epochs <= TRAINING.epochs
    assert chosen.recommend(COLD, 5).items.shape == (N_COLD, 5)


def test_invalid_features_are_rejected(fitted: TwoTower) -> None:
    told = features(fitted, "child")
    with pytest.raises(InvalidInput, match=r"shape \(1, 2\); it must be \(1, 3\)"):
        fitted.recommend_from(replace(EMPTY, features=told[:, :2]), 3)
    with pytest.raises(InvalidInput, match=r"shape \(1, 3\); it must be \(2, 3\)"):
        fitted.score_many(replace(Histories.from_rows([[], [0]]), features=told))
    with pytest.raises(InvalidInput, match="features of user 0 are not finite"):
        fitted.user_vectors(replace(EMPTY, features=told * np.float32(np.nan)))
    plain = TwoTower.restore(CONFIG, TwoTower(CONFIG).fit(bare(), seed=3).arrays())
    with pytest.raises(InvalidInput, match=r"without user features.*make_dataset"):
        plain.recommend_from(replace(EMPTY, features=told), 3)
    broken = np.zeros((DATA.n_users, 2), dtype=np.float32)
    broken[1] = np.inf
    with pytest.raises(InvalidInput, match="features of user 1 are not finite"):
        TwoTower(CONFIG).fit(replace(DATA, user_features=broken))


def bare() -> Dataset:
    return replace(DATA, user_features=None, user_encoder=None)


def test_a_catalogue_without_items() -> None:
    nothing = replace(
        DATA,
        item_ids=[],
        histories=Histories.from_rows([[]] * DATA.n_users),
        values=np.zeros(0, dtype=np.float32),
    )
    model = TwoTower(CONFIG).fit(nothing, seed=3)
    assert (model.recommend(COLD, 3).items == -1).all()
    assert model.score_many(replace(EMPTY, features=features(model, "child"))).shape == (1, 0)
