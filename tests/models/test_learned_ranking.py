import sys
from dataclasses import replace
from typing import Any

import lightgbm
import numpy as np
import pytest
from msgspec.structs import replace as replace_struct
from tests.models.synthetic import N_ITEMS, N_USERS, shop

from nearline.data.dataset import Dataset, Histories
from nearline.errors import MissingExtra
from nearline.kernels.trees import sum_trees
from nearline.models.capabilities import LearnsOnline, SearchesText
from nearline.models.hybrids.blend import Blend, BlendPart
from nearline.models.hybrids.blend_pool import HeldOutUsers, StackingFold
from nearline.models.hybrids.lambdamart import Candidates, parsed
from nearline.models.hybrids.learned_ranking import LearnedRanking, LearnedRankingConfig
from nearline.models.hybrids.ranking_features import candidates_of, item_counts
from nearline.models.item_graph.model import ItemGraph
from nearline.models.registry import make_model
from nearline.models.validation import mean_ndcg

DATA, TARGETS = shop()
GRAPH = BlendPart(model="item_graph", settings={"search": {"evaluations": 0}}, weight=0.3)
CONFIG = LearnedRankingConfig(
    parts=(BlendPart(model="popularity"), GRAPH), candidates=20, trees=30, least=10, leaves=6
)
ALONE = LearnedRankingConfig(parts=(BlendPart(model="popularity"),), candidates=20, trees=30)


def test_parsed_trees_predict_as_lightgbm() -> None:
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


def test_a_tree_with_a_single_leaf_is_parsed() -> None:
    label = np.zeros(40, dtype=int)
    data = lightgbm.Dataset(np.zeros((40, 2), dtype=np.float32), label)
    settings = {"objective": "regression", "verbosity": -1, "num_threads": 1}
    booster = lightgbm.train(settings, data, 2)
    found = sum_trees(parsed(booster.model_to_string()), np.zeros((3, 2), dtype=np.float32))
    assert found == pytest.approx(booster.predict(np.zeros((3, 2))), abs=1e-12)


def keep_weights(monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep the weights of the blend, which are poor, so that the trees can improve on them."""
    monkeypatch.setattr(Blend, "weigh_on", lambda *_, **__: None)


def test_trees_improve_a_poor_blend(monkeypatch: pytest.MonkeyPatch) -> None:
    keep_weights(monkeypatch)
    model = LearnedRanking(CONFIG).fit(DATA, validation=TARGETS)
    lists = model.recommend_from(DATA.histories, 10).items
    blend = model.blend.recommend_from(DATA.histories, 10).items
    assert mean_ndcg(lists, TARGETS) > 1.1 * mean_ndcg(blend, TARGETS)
    assert 1 <= model.config.trees <= 30
    # Lists hold the first of the blend, with the scores that all items have.
    one = DATA.histories.select(np.array([0]))
    scores = model.score_many(one)[0]
    plain = model.blend
    allowed = np.arange(N_ITEMS) % 2 == 0
    for how in ({}, {"exclude_seen": False}, {"allowed": allowed}):
        found = model.recommend_from(one, 5, **how)
        assert set(found.items[0]) <= set(plain.recommend_from(one, 20, **how).items[0])
        assert found.scores[0] == pytest.approx(scores[found.items[0]])
    # Parts are those of the blend, times one factor.
    for item in found.items[0]:
        parts = model.explain(one, int(item))
        assert sum(part.amount for part in parts) == pytest.approx(float(scores[item]), rel=1e-5)
        assert {part.relation for part in parts} > {"popularity"}
    wide = model.recommend_from(one, N_ITEMS)
    kept = wide.items[0][wide.items[0] >= 0]
    assert wide.scores[0][: len(kept)] == pytest.approx(scores[kept])


def test_trees_that_do_not_help_are_dropped() -> None:
    rng = np.random.default_rng(0)
    chance = Histories.from_rows([[int(rng.integers(N_ITEMS))] for _ in range(N_USERS)])
    model = LearnedRanking(replace_struct(CONFIG, candidates=N_ITEMS)).fit(DATA, validation=chance)
    assert model.config.trees == 0
    found = model.score_many(DATA.histories)
    assert np.array_equal(found, model.blend.score_many(DATA.histories))


def test_refit_keeps_weights_and_trees(monkeypatch: pytest.MonkeyPatch) -> None:
    keep_weights(monkeypatch)
    model = LearnedRanking(CONFIG).fit(DATA, validation=TARGETS)
    again = model.refit(DATA, seed=1)
    assert again.config == model.config
    assert np.array_equal(again.score_many(DATA.histories), model.score_many(DATA.histories))


def test_without_validation_the_trees_learn_from_the_last_events(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    seen: dict[str, Any] = {}

    def learn(_: LearnedRanking, folds: list[StackingFold], *__: object, **___: object) -> None:
        # The state of the parts when the trees learn.
        ((parts, users),) = folds
        seen["rows"], seen["truth"] = users.histories, users.truth
        seen["known"] = parts[0].score_many(users.histories)[0].sum()
        assert parts[0].fitted_on is not None
        seen["counts"] = np.expm1(item_counts(parts[0].fitted_on, N_ITEMS)[:, 0]).sum()

    monkeypatch.setattr(LearnedRanking, "_learn", learn)
    LearnedRanking(CONFIG).fit(DATA)
    for user in (0, N_USERS - 1):
        assert seen["rows"].row(user).tolist() == DATA.histories.row(user)[:-1].tolist()
        assert seen["truth"].row(user).tolist() == DATA.histories.row(user)[-1:].tolist()
    assert seen["known"] == len(DATA.histories.items) - N_USERS
    assert seen["counts"] == pytest.approx(len(DATA.histories.items) - N_USERS, rel=1e-4)


def test_trees_learn_equally_from_all_folds(monkeypatch: pytest.MonkeyPatch) -> None:
    found: list[Candidates] = []

    def boosted(lists: list[Candidates], **_: object) -> tuple[str, int]:
        found.extend(lists)
        return "", 0

    monkeypatch.setattr("nearline.models.hybrids.learned_ranking.boost", boosted)
    folds = []
    for half in (0, 1):
        # Counts identify the fold: one part has counted all events, the other half of them.
        data = DATA if half else DATA.take(DATA.user_of_each() % 2 == 0)
        users = np.arange(half, N_USERS, 2)
        rows = HeldOutUsers(DATA.histories.select(users), TARGETS.select(users), N_ITEMS)
        folds.append(StackingFold([make_model("popularity", {}).fit(data)], rows))
    model = LearnedRanking(replace_struct(ALONE, candidates=N_ITEMS))
    model.weigh_on(folds)
    every = np.log1p(np.bincount(DATA.histories.items, minlength=N_ITEMS)).astype(np.float32)
    whole = [bool(np.isin(one.table[:, 4], every).all()) for one in found]
    assert len(found) > 0.9 * N_USERS
    assert 0.4 < np.mean(whole) < 0.6
    # The first fifth decides the number of trees.
    assert 0.2 < np.mean(whole[: N_USERS // 5]) < 0.8


def test_features_equal_values_computed_by_hand() -> None:
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
    _, candidates, table = candidates_of(
        model.blend,
        item_counts(histories, 3),
        histories.select(np.array([2])),
        hidden=Histories.from_rows([[]]),
        allowed=None,
        width=3,
    )
    assert candidates.tolist() == [[0, 1, 2]]
    # Popularity 3, 1, 1: mean 5/3, deviation sqrt(8)/3.
    assert table[0, :, 0] == pytest.approx([1, 1 / 3, 1 / 3])
    assert table[0, :, 1] == pytest.approx(np.array([4, -2, -2]) / np.sqrt(8))
    # The blend has the same: shares of 5.
    assert table[0, :, 2:4] == pytest.approx(table[0, :, :2], rel=1e-5)
    assert table[0, :, 4] == pytest.approx(np.log1p([3, 1, 1]))
    # The newest tenth is the last event; item 2 came when three of five events were over.
    assert table[0, :, 5] == pytest.approx(np.log1p([1, 0, 0]))
    assert table[0, :, 6] == pytest.approx([1, 0.8, 0.4])
    assert table[0, :, 7] == pytest.approx([1, 1, 1])


def test_new_events_and_items_reach_the_blend() -> None:
    model = LearnedRanking(CONFIG).fit(DATA)
    assert isinstance(model, LearnsOnline)
    assert isinstance(model, SearchesText)
    assert not isinstance(model, Blend)
    graph = model.blend.parts[1]
    assert model.parts == model.blend.parts
    assert isinstance(graph, ItemGraph)
    before = graph.arrays()["transitions/counts/units"].sum()
    old, new = DATA.histories.select(np.array([0])), Histories.from_rows([[3]])
    new.times[:] = 1e9
    model.observe(old, new)
    assert graph.arrays()["transitions/counts/units"].sum() > before
    model.rebuild_counts(DATA.histories, N_ITEMS)
    assert graph.arrays()["transitions/counts/units"].sum() == before
    model.forget(DATA.histories)
    assert graph.arrays()["transitions/counts/units"].sum() == 0
    model.put_items([N_ITEMS], ["quite unheard of"])
    assert model.n_items == N_ITEMS + 1
    assert model.search_text("unheard", 3).items.tolist() == [[N_ITEMS]]
    assert model.score_many(old).shape == (1, N_ITEMS + 1)


def test_settings_of_the_blend_are_those_of_the_model() -> None:
    model = LearnedRanking(CONFIG).fit(DATA, validation=TARGETS)
    assert isinstance(model.config, LearnedRankingConfig)
    assert model.config.parts == model.blend.config.parts
    assert model.config.at_least == model.blend.config.at_least
    assert [part.weights for part in model.config.parts] != [()] * 2


def test_with_few_lists_the_order_of_the_blend_is_kept() -> None:
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
