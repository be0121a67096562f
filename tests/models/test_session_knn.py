"""Nearest neighbours of sessions: scores, explanations, online learning, choice of settings."""

import dataclasses

import numpy as np
import pytest
from msgspec.structs import replace
from tests.naive_sessions import session_scores, two_step_scores

from nearline.data import Dataset, Histories, leave_one_out
from nearline.models.neighbours.session_knn import SessionKnn, has_sessions
from nearline.models.neighbours.session_settings import SessionKnnConfig

CONFIG = SessionKnnConfig(
    half_life=1.3,
    power=1.6,
    length_exponent=0.4,
    gap_power=0.8,
    backward=0.6,
    source_exponent=0.5,
    target_exponent=0.2,
    recency=0.0003,
    repeat_last=0.5,
    repeat=2.0,
    repeat_older=3.0,
    reach=3,
    max_history=5,
)
N_ITEMS = 12


def random_rows(n: int, seed: int = 0) -> list[list[int]]:
    rng = np.random.default_rng(seed)
    return [rng.integers(0, N_ITEMS, rng.integers(1, 9)).tolist() for _ in range(n)]


def dataset(rows: list[list[int]], order: str = "times") -> Dataset:
    """Sessions one after the other, with a second between events."""
    histories = Histories.from_rows(rows)
    times = np.arange(len(histories.items), dtype=np.float64) + 1e9
    return Dataset(
        user_ids=[f"u{u}" for u in range(len(rows))],
        item_ids=[f"i{i}" for i in range(N_ITEMS)],
        histories=dataclasses.replace(histories, times=times),
        values=np.full(len(times), np.nan, dtype=np.float32),
        order=order,  # type: ignore[arg-type]
    )


def listed(data: Dataset) -> list[tuple[list[int], float]]:
    rows = data.histories
    return [
        (rows.row(user).tolist(), float(rows.times[rows.indptr[user + 1] - 1]))
        for user in range(len(rows))
    ]


def test_one_session_by_hand() -> None:
    config = SessionKnnConfig(
        half_life=1.0,
        power=2.0,
        length_exponent=1.0,
        gap_power=1.0,
        backward=0.5,
        source_exponent=0.0,
        target_exponent=0.0,
        repeat_last=0.0,
        repeat=3.0,
    )
    model = SessionKnn(config).fit(dataset([[0, 1, 2, 3]], "positions"))
    scores = model.score_many(Histories.from_rows([[0, 2]]))[0]
    # The weights are 0.5 and 1, their sum squared is 2.25, divided by 4 events.
    value = 2.25 / 4
    expected = [value * 0.5 / 2 * 3.0, value * 0.5, 0.0, value]
    assert scores[:4] == pytest.approx(expected, rel=1e-6)
    assert not scores[4:].any()


@pytest.mark.parametrize("order", ["times", "positions", "none"])
def test_scores_and_parts_equal_the_oracle(order: str) -> None:
    data = dataset(random_rows(60), order)
    model = SessionKnn(CONFIG).fit(data)
    assert (model.config.recency > 0) == (order == "times")
    for history in random_rows(30, seed=1):
        expected = session_scores(listed(data), history, model.config)
        rows = Histories.from_rows([history])
        scores = model.score_many(rows)[0]
        for item in range(N_ITEMS):
            parts = expected.get(item, {})
            assert scores[item] == pytest.approx(sum(parts.values()), rel=1e-5)
            found = {history[part.source]: part.amount for part in model.explain(rows, item)}
            assert found == pytest.approx({i: a for i, a in parts.items() if a}, rel=1e-5)


def test_two_steps_equal_the_oracle() -> None:
    data = dataset(random_rows(25, seed=7))
    model = SessionKnn(replace(CONFIG, second=0.3, expanded=3, reach=2)).fit(data)
    plain = SessionKnn(replace(CONFIG, reach=2)).fit(data)
    more = 0
    for history in random_rows(30, seed=8):
        expected = two_step_scores(listed(data), history, model.config)
        rows = Histories.from_rows([history])
        scores = model.score_many(rows)[0]
        more += int((scores > 0).sum() - (plain.score_many(rows)[0] > 0).sum())
        for item in range(N_ITEMS):
            parts = expected.get(item, {})
            assert scores[item] == pytest.approx(sum(parts.values()), rel=1e-4)
            found = {history[part.source]: part.amount for part in model.explain(rows, item)}
            assert found == pytest.approx({i: a for i, a in parts.items() if a}, rel=1e-4)
    assert more > 0


def test_only_the_most_recent_sessions_of_an_item_are_used() -> None:
    data = dataset([[0, 1], [0, 2], [0, 3]])
    model = SessionKnn(replace(CONFIG, most_sessions=2)).fit(data)
    scores = model.score_many(Histories.from_rows([[0]]))[0]
    assert scores[1] == 0
    assert (scores[2:4] > 0).all()
    parts = model.explain(Histories.from_rows([[0]]), 3)
    assert sum(part.amount for part in parts) == pytest.approx(scores[3], rel=1e-6)


def test_a_session_is_no_neighbour_of_itself() -> None:
    model = SessionKnn().fit(dataset([[0, 1, 0], [5, 6]]))
    assert not model.score_many(Histories.from_rows([[0, 1, 0]])).any()


def halves(data: Dataset, seed: int) -> tuple[Histories, Histories]:
    """Return a part of the events of each user, and the others; late events are among them."""
    first = np.random.default_rng(seed).random(data.n_interactions) < 0.5
    return data.histories.take(first), data.histories.take(~first)


def test_observed_events_give_the_scores_of_a_fit() -> None:
    data = dataset(random_rows(80))
    before, events = halves(data, 2)
    model = SessionKnn(CONFIG).fit(dataclasses.replace(data, histories=before))
    for user in np.random.default_rng(3).permutation(80):
        one = np.array([user])
        model.observe(before.select(one), events.select(one))
    again = SessionKnn(CONFIG).fit(data)
    histories = Histories.from_rows(random_rows(20, seed=4))
    assert model.n_sessions == again.n_sessions
    assert model.score_many(histories) == pytest.approx(again.score_many(histories), rel=1e-5)
    model.rebuild_counts(data.histories, N_ITEMS)
    assert np.array_equal(model.score_many(histories), again.score_many(histories))


def test_forgotten_users_leave_no_trace() -> None:
    data = dataset([*random_rows(40), [3, 3, 4]])
    model = SessionKnn(CONFIG).fit(data)
    gone = np.arange(0, 41, 2)
    model.forget(data.histories.select(gone))
    kept = data.take(np.repeat(np.arange(41) % 2 == 1, np.diff(data.histories.indptr)))
    again = SessionKnn(CONFIG).fit(kept)
    histories = Histories.from_rows(random_rows(20, seed=5))
    assert model.score_many(histories) == pytest.approx(again.score_many(histories), rel=1e-5)
    left, right = model.arrays(), again.arrays()
    assert all(np.array_equal(left[name], right[name]) for name in left)
    removed = np.flatnonzero(model._index.lengths == 0)
    assert len(removed) == 21
    assert (model._index.events == -1).sum() == len(data.histories.select(gone).items)


def test_equal_sessions_are_removed_one_by_one() -> None:
    data = dataset([[0, 1], [0, 1]])
    data = dataclasses.replace(
        data, histories=dataclasses.replace(data.histories, times=np.array([1e9, 2e9] * 2))
    )
    model = SessionKnn().fit(data)
    for left in (1, 0, 0):
        model.forget(data.histories.select(np.array([0])))
        assert model.n_sessions == left


def test_dislikes_are_not_part_of_sessions() -> None:
    model = SessionKnn().fit(dataset([[0, 1]]))
    rows = Histories.from_rows([[2, 3]])
    nothing = rows.take(np.zeros(2, dtype=np.bool_))
    model.observe(nothing, dataclasses.replace(rows, weights=-rows.weights))
    assert model.n_sessions == 1


def test_new_items_and_events_need_no_training() -> None:
    model = SessionKnn()
    model.preallocate(3)
    model.put_items([0, 1], ["", ""])
    rows = Histories.from_rows([[0, 1]])
    model.observe(rows.take(np.zeros(2, dtype=np.bool_)), rows)
    assert model.n_items == 2
    best = model.recommend_from(Histories.from_rows([[0]]), 1, exclude_seen=True)
    assert best.items.tolist() == [[1]]


def test_a_fit_with_validation_chooses_better_settings() -> None:
    """Sessions never return to an item, so their own items must not come first."""
    rng = np.random.default_rng(0)
    rows = [[int(s), int(s) + 1, int(s) + 2] for s in rng.integers(0, N_ITEMS - 2, 300)]
    split = leave_one_out(dataset(rows, "positions"))
    start = SessionKnnConfig(repeat_last=3.0, repeat=3.0, evaluations=60)
    model = SessionKnn(start).fit(split.train, validation=split.test)
    assert model.config.repeat_last < 1.0
    hits = []
    for fitted in (SessionKnn(start).fit(split.train), model):
        lists = fitted.recommend_from(split.train.histories, 1, exclude_seen=False).items
        hits.append((lists[:, 0] == split.test.items).mean())
    assert hits[1] > hits[0] + 0.5
    fixed = SessionKnn(replace(start, evaluations=0)).fit(split.train, validation=split.test)
    assert fixed.config == replace(start, evaluations=0)


@pytest.mark.parametrize(
    ("size", "order", "expected"),
    [(5, "times", True), (6, "times", False), (5, "none", False), (1, "times", False)],
)
def test_short_ordered_histories_are_sessions(size: int, order: str, expected: bool) -> None:
    assert has_sessions(dataset([list(range(size))] * 3 + [[0]] * 9, order)) is expected
