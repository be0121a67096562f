"""The score of users who return after a while: what is popular lately, and repeats."""

import dataclasses

import numpy as np
import pytest
from msgspec.structs import replace
from numpy.typing import NDArray
from tests.models.synthetic import dataset

from nearline.data.dataset import Dataset, Histories
from nearline.models.item_graph import lately as lately_module
from nearline.models.item_graph.config import ItemGraphConfig
from nearline.models.item_graph.model import ItemGraph
from nearline.models.item_graph.scores import LATELY, REPEATS
from nearline.models.item_graph.time_config import Lately, Repeats

DAY = 86_400.0
START = 1_600_000_000.0
N_ITEMS = 40
CONFIG = ItemGraphConfig(
    lately=Lately(weights=(0.0, 2.0, 0.0, 1.0), rising=0.5, rising_half_life=7.0, patience=4.0),
    repeats=Repeats(weight=0.7, half_life=5.0, rising=0.3, lately=3.0),
)


def log(seed: int, events: int = 300, users: int = 12) -> NDArray[np.float64]:
    """Rows of user, item, time and weight, sorted by time."""
    rng = np.random.default_rng(seed)
    times = START + np.sort(rng.random(events)) * 60 * DAY
    items = rng.integers(0, N_ITEMS, events) * rng.random(events)
    weights = rng.choice([1.0, 3.0, 0.5], events)
    return np.stack([rng.integers(0, users, events), items.astype(int), times, weights], 1)


def histories_of(rows: NDArray[np.float64], users: int = 12) -> Histories:
    return Histories.group(
        rows[:, 0].astype(np.int64),
        users,
        rows[:, 1].astype(np.int32),
        rows[:, 3].astype(np.float32),
        rows[:, 2].copy(),
    )


def data_of(rows: NDArray[np.float64]) -> Dataset:
    return dataclasses.replace(dataset([[0]] * 12, N_ITEMS), histories=histories_of(rows))


def fitted(rows: NDArray[np.float64], config: ItemGraphConfig = CONFIG) -> ItemGraph:
    return ItemGraph(config).fit(data_of(rows))


def recent(rows: NDArray[np.float64], half_life: float) -> NDArray[np.float64]:
    """Decayed sum of the weights of each item at the time of the newest event."""
    decay = 0.5 ** ((rows[:, 2].max() - rows[:, 2]) / (half_life * DAY))
    sums = np.zeros(N_ITEMS)
    np.add.at(sums, rows[:, 1].astype(int), decay * rows[:, 3])
    return sums


def away(histories: Histories) -> Histories:
    """The same users, a day before their events: they return after a while."""
    return dataclasses.replace(histories, times=histories.times - DAY)


def test_the_score_is_the_relations_times_the_rise_plus_lately_plus_own_items() -> None:
    rows = log(0)
    model, users = fitted(rows), away(histories_of(rows))
    plain = ItemGraph(replace(CONFIG, lately=Lately(), repeats=Repeats()))
    patient = {
        name: replace(getattr(CONFIG, name), half_life=4 * getattr(CONFIG, name).half_life)
        for name in ("transitions", "coengagement", "content", "projected")
    }
    plain = ItemGraph(replace(plain.config, **patient)).fit(data_of(rows))
    base = plain.score_many(users).astype(np.float64)
    popularity = np.bincount(rows[:, 1].astype(int), rows[:, 3] ** 2, minlength=N_ITEMS)
    week = recent(rows, 7.0)
    # Shares up to a common factor, which the mass cancels.
    with np.errstate(invalid="ignore", divide="ignore"):
        rise = np.where(popularity > 0, week / popularity, 1.0) ** 0.5
    shares = [recent(rows, days) / recent(rows, days).sum() for days in (3.0, 30.0)]
    popular_lately = 2.0 * shares[0] + 1.0 * shares[1]
    found = model.score_many(users)
    for user in range(len(users)):
        own = np.zeros(N_ITEMS)
        row = users.row(user)
        weights = users.weights[users.indptr[user] : users.indptr[user + 1]]
        for age, (item, weight) in enumerate(zip(row[::-1], weights[::-1], strict=True)):
            own[item] += weight * 0.5 ** (age / 5.0)
        # The factor between both definitions of a share is a power of the totals.
        factor = model._recent._rises[row[0]] / rise[row[0]]
        own *= (rise * factor) ** 0.3
        score = base[user] * rise * factor
        mass = score[score > 0].sum()
        lately = popular_lately + np.where(own > 0, 3.0 * shares[0], 0.0)
        expected = score + mass * (lately + 0.7 * own / np.sqrt(own.sum()))
        assert found[user] == pytest.approx(expected, rel=2e-3)


@pytest.mark.parametrize("exclude_seen", [True, False])
@pytest.mark.parametrize("leaders", [1, 3, 512])
def test_lists_are_the_largest_scores(
    exclude_seen: bool, leaders: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also if an item that no history reaches is not among the leaders."""
    monkeypatch.setattr(lately_module, "LEADERS", leaders)
    rows = log(1, events=60)
    model, users = fitted(rows), away(histories_of(rows))
    allowed = np.arange(N_ITEMS) % 3 > 0
    scores = np.where(allowed, model.score_many(users), 0.0)
    for user in range(len(users)):
        if exclude_seen:
            scores[user, users.row(user)] = 0.0
    lists = model.recommend_from(users, 8, exclude_seen=exclude_seen, allowed=allowed)
    for user in range(len(users)):
        order = np.lexsort((np.arange(N_ITEMS), -scores[user]))[:8]
        expected = [item if scores[user, item] > 0 else -1 for item in order]
        assert lists.items[user].tolist() == expected
        known = lists.items[user] >= 0
        assert np.array_equal(
            lists.scores[user][known], scores[user][lists.items[user][known]].astype(np.float32)
        )


def test_users_in_a_session_have_the_score_of_the_relations() -> None:
    """So do users without real times, such as the history of an anonymous session."""
    rows = log(2)
    newest = rows[:, 2].max()
    model = fitted(rows)
    plain = ItemGraph(ItemGraphConfig()).fit(data_of(rows))
    users = histories_of(rows)
    now = dataclasses.replace(users, times=np.full(len(users.times), newest - 60.0))
    for same in (now, Histories.from_rows([[1, 2], [3]])):
        assert np.array_equal(model.score_many(same), plain.score_many(same))
        assert np.array_equal(
            model.recommend_from(same, 5).items, plain.recommend_from(same, 5).items
        )
    # A block may mix both kinds of users.
    times = np.where(np.arange(len(users.times)) < users.indptr[6], newest - 60.0, START)
    mixed = model.recommend_from(dataclasses.replace(users, times=times), 5)
    first, second = np.arange(6), np.arange(6, 12)
    for part, lists in ((first, now), (second, away(users))):
        assert np.array_equal(mixed.items[part], model.recommend_from(lists, 5).items[part])


def test_the_parts_of_a_score_sum_to_it() -> None:
    rows = log(3)
    model, users = fitted(rows), away(histories_of(rows))
    scores = model.score_many(users)
    relations = set()
    for user in range(len(users)):
        for item in range(0, N_ITEMS, 5):
            parts = model.explain(users.select(np.array([user])), item)
            total = sum(part.amount for part in parts)
            assert total == pytest.approx(float(scores[user, item]), rel=1e-6, abs=1e-9)
            assert all((part.source == -1) == (part.relation == LATELY) for part in parts)
            relations |= {part.relation for part in parts}
    assert {LATELY, REPEATS, "transitions", "coengagement"} <= relations


def counts(model: ItemGraph) -> dict[str, bytes]:
    arrays = model.arrays()
    return {name: array.tobytes() for name, array in arrays.items() if name.startswith("lately/")}


def test_online_counts_equal_a_fit_on_the_whole_log() -> None:
    rows = log(4)
    rows[::7, 2] -= 3 * DAY  # late events
    whole, model = fitted(rows), fitted(rows[:120])
    for start in range(120, 300, 40):
        now = rows[start : start + 40]
        model.observe(histories_of(rows[:start]), histories_of(now))
    assert len(counts(whole)) == 3
    assert counts(model) == counts(whole)
    assert np.array_equal(model._recent._rises[:N_ITEMS], whole._recent._rises[:N_ITEMS])


def test_forgetting_a_user_restores_the_counts() -> None:
    rows = log(5)
    model, others = fitted(rows), rows[rows[:, 0] != 3]
    assert others[-1, 2] == rows[-1, 2]
    theirs = rows.copy()
    theirs = theirs[theirs[:, 0] == 3]
    model.forget(histories_of(theirs))
    assert counts(model) == counts(fitted(others))


def test_old_events_fade_when_much_time_passes() -> None:
    rows = log(6)
    later = np.array([[0.0, 1.0, START + 20_000 * DAY, 1.0]])
    model = fitted(rows)
    model.observe(histories_of(rows), histories_of(later))
    assert counts(model) == counts(fitted(np.concatenate([rows, later])))
    shares = model._recent._sums[:N_ITEMS]
    assert (np.flatnonzero(shares.sum(axis=1)) == [1]).all()


def test_a_restored_model_gives_the_same_lists() -> None:
    rows = log(7)
    model, users = fitted(rows), away(histories_of(rows))
    restored = ItemGraph.restore(model.config, model.arrays())
    assert np.array_equal(restored.score_many(users), model.score_many(users))
    assert counts(restored) == counts(model)


def test_without_the_terms_a_snapshot_has_no_counts() -> None:
    assert counts(fitted(log(8), ItemGraphConfig())) == {}


@pytest.mark.parametrize(
    "fields",
    [
        {"weights": (1.0,)},
        {"half_lives": ()},
        {"rising_half_life": 2.0},
        {"weights": (-1.0, 0.0, 0.0, 0.0)},
    ],
)
def test_wrong_settings_are_refused(fields: dict[str, object]) -> None:
    from nearline.errors import InvalidInput

    with pytest.raises(InvalidInput):
        Lately(**fields)  # type: ignore[arg-type]
