"""Counts of all time and decayed counts, by hand."""

from dataclasses import replace

import numpy as np
import pytest
from tests.models.synthetic import dataset

from nearline.data.dataset import Histories
from nearline.errors import Damaged
from nearline.models.popularity import Popularity, PopularityConfig, Trending, TrendingConfig


def test_counts_and_decay_by_hand() -> None:
    data = dataset([[0, 0, 0], [1, 1], [2]], 4)
    times = np.array([0, 0, 0, 20, 20, 40], dtype=np.float64)
    weights = np.array([1, 1, 1, 1, 2, -1], dtype=np.float32)
    data = replace(data, histories=replace(data.histories, times=times, weights=weights))
    nobody = Histories.from_rows([[]])
    assert Popularity().fit(data).score_many(nobody).tolist() == [[3, 3, 0, 0]]
    assert Popularity().fit(data).recommend_from(nobody, 3).items.tolist() == [[0, 1, -1]]
    trending = Trending(TrendingConfig(half_life=20.0)).fit(data)
    assert trending.score_many(nobody).tolist() == [[0.75, 1.5, 0, 0]]
    assert trending.recommend_from(nobody, 3).items.tolist() == [[1, 0, -1]]


def test_without_events_lists_are_empty() -> None:
    empty = Trending().fit(dataset([[]], 3))
    assert empty.recommend_from(Histories.from_rows([[], [0]]), 2).items.tolist() == [[-1, -1]] * 2
    with pytest.raises(Damaged, match="scores"):
        Popularity.restore(Popularity().config, {})


def test_a_model_without_items_knows_no_item() -> None:
    model = Popularity.restore(PopularityConfig(), {"scores": np.zeros(0)})
    assert model.score(Histories.from_rows([[0]]), np.array([0, 3])).tolist() == [0, 0]
