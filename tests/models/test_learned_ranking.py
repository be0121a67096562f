import sys
from dataclasses import replace
from typing import Any

import lightgbm
import numpy as np
import pytest
from tests.models.synthetic import N_ITEMS, N_USERS, shop

from nearline.data.dataset import Dataset, Histories
from nearline.errors import MissingExtra
from nearline.kernels.trees import sum_trees
from nearline.models.hybrid import GRAPH_BY_EVENTS, Part
from nearline.models.learned_ranking import LearnedRanking, LearnedRankingConfig, parsed
from nearline.models.validation import mean_ndcg

DATA, TARGETS = shop()
CONFIG = LearnedRankingConfig(
    parts=(Part(model="popularity"), GRAPH_BY_EVENTS), depth=20, trees=30, least=10, leaves=6
)


ALONE = LearnedRankingConfig(parts=(Part(model="popularity"),), depth=20, trees=30)


def test_trees_that_were_read_are_those_of_lightgbm() -> None:
    rng = np.random.default_rng(0)
    table = rng.normal(size=(600, 4)).astype(np.float32)
    table[:, 3] = rng.integers(0, 3, 600)
    label = (table[:, 0] + table[:, 3] > 1).astype(int)
    settings = {"objective": "lambdarank", "min_data_in_leaf": 5, "verbosity": -1, "num_threads": 1}
    data = lightgbm.Dataset(table, label, group=[20] * 30)
    booster = lightgbm.train(settings, data, 15)
    found = sum_trees(parsed(booster.model_to_string()), table)
    assert found == pytest.approx(booster.predict(table, raw_score=True), abs=1e-12)
    assert found.std() > 0.1


def test_a_tree_of_one_leaf_is_read() -> None:
    label = np.zeros(40, dtype=int)
    data = lightgbm.Dataset(np.zeros((40, 2), dtype=np.float32), label)
    settings = {"objective": "regression", "verbosity": -1, "num_threads": 1}
    booster = lightgbm.train(settings, data, 2)
    found = sum_trees(parsed(booster.model_to_string()), np.zeros((3, 2), dtype=np.float32))
    assert found == pytest.approx(booster.predict(np.zeros((3, 2))), abs=1e-12)


def test_it_learns_which_part_to_trust() -> None:
    model = LearnedRanking(CONFIG).fit(DATA, validation=TARGETS)
    lists = model.recommend_from(DATA.histories, 10).items
    first = model.parts[0].recommend_from(DATA.histories, 10).items
    assert mean_ndcg(lists, TARGETS) > 1.1 * mean_ndcg(first, TARGETS)
    assert 1 <= model.config.trees <= 30


def test_the_last_events_teach_where_nothing_was_held_out(monkeypatch: pytest.MonkeyPatch) -> None:
    told: dict[str, Any] = {}

    def learn(
        self: LearnedRanking, histories: Histories, truth: Histories, *_: object, **__: object
    ) -> None:
        # What the parts know when the trees learn.
        told["rows"], told["truth"] = histories, truth
        told["known"] = self.parts[0].score_many(histories)[0].sum()
        told["counts"] = np.expm1(self._counts[:, 0]).sum()

    monkeypatch.setattr(LearnedRanking, "_learn", learn)
    LearnedRanking(CONFIG).fit(DATA)
    for user in (0, N_USERS - 1):
        assert told["rows"].row(user).tolist() == DATA.histories.row(user)[:-1].tolist()
        assert told["truth"].row(user).tolist() == DATA.histories.row(user)[-1:].tolist()
    assert told["known"] == len(DATA.histories.items) - N_USERS
    assert told["counts"] == pytest.approx(len(DATA.histories.items) - N_USERS, rel=1e-4)


def test_what_the_trees_see_by_hand() -> None:
    rows = [[0, 1], [0, 2], [0]]
    histories = Histories.from_rows(rows)
    histories.times[:] = [0, 1, 2, 3, 4]
    data = Dataset(
        user_ids=["a", "b", "c"],
        item_ids=["0", "1", "2"],
        histories=histories,
        values=np.zeros(5, dtype=np.float32),
    )
    model = LearnedRanking(ALONE).fit(data)
    candidates, table = model._candidates(
        histories.select(np.array([2])), Histories.from_rows([[]]), None
    )
    assert candidates.tolist() == [[0, 1, 2]]
    # Popularity 3, 1, 1: mean 5/3, deviation sqrt(8)/3.
    assert table[0, :, 0] == pytest.approx([1, 1 / 3, 1 / 3])
    assert table[0, :, 1] == pytest.approx(np.array([4, -2, -2]) / np.sqrt(8))
    assert table[0, :, 2] == pytest.approx([3, 1, 1])
    assert table[0, :, 3] == pytest.approx(np.log1p([3, 1, 1]))
    # The newest tenth is the last event; item 2 came when three of five events were over.
    assert table[0, :, 4] == pytest.approx(np.log1p([1, 0, 0]))
    assert table[0, :, 5] == pytest.approx([1, 0.8, 0.4])
    assert table[0, :, 6] == pytest.approx([1, 1, 1])


def test_few_lists_leave_the_order_of_the_first_part() -> None:
    few = replace(DATA, histories=DATA.histories.select(np.arange(40)), user_ids=DATA.user_ids[:40])
    few = replace(few, values=DATA.values[: len(few.histories.items)])
    model = LearnedRanking(ALONE).fit(few)
    found = model.recommend_from(few.histories, 5).items
    assert np.array_equal(found, model.parts[0].recommend_from(few.histories, 5).items)


def test_a_fitted_model_needs_no_lightgbm(monkeypatch: pytest.MonkeyPatch) -> None:
    model = LearnedRanking(CONFIG).fit(DATA)
    monkeypatch.setitem(sys.modules, "lightgbm", None)
    again = LearnedRanking.restore(model.config, model.arrays())
    found = again.recommend_from(DATA.histories, 5)
    assert np.array_equal(found.items, model.recommend_from(DATA.histories, 5).items)
    assert found.items.max() < N_ITEMS
    with pytest.raises(MissingExtra, match=r"pip install nearline\[rank\]"):
        LearnedRanking(CONFIG).fit(DATA)
