import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests import naive_factors as naive
from tests.models.synthetic import N_ITEMS, N_USERS, recall, shop

from nearline.data.dataset import Histories
from nearline.errors import InvalidInput
from nearline.models.hybrids.hybrid import GRAPH_BY_EVENTS, GRAPH_BY_TEXT, HybridPart
from nearline.models.hybrids.hybrid_weighted import (
    HybridWeighted,
    HybridWeightedConfig,
    normalise,
    with_share,
)
from nearline.models.validation import mean_ndcg

DATA, TARGETS = shop()


def test_normalised_scores_by_hand() -> None:
    scores = np.array([[1.0, 3.0, 2.0], [4.0, 4.0, 4.0]], dtype=np.float32)
    assert normalise(scores, "minmax") == pytest.approx(np.array([[0, 1, 0.5], [0, 0, 0]]))
    # Mean 2, deviation sqrt(2/3).
    root = np.sqrt(1.5)
    assert normalise(scores, "zscore") == pytest.approx(np.array([[-root, root, 0], [0, 0, 0]]))
    powers = np.exp([1.0, 3.0, 2.0])
    expected = np.stack([powers / powers.sum(), np.full(3, 1 / 3)])
    assert normalise(scores, "softmax") == pytest.approx(expected)
    assert normalise(np.zeros((2, 0), dtype=np.float32), "softmax").shape == (2, 0)


def test_a_share_of_the_simplex_by_hand() -> None:
    weights = np.array([0.2, 0.6, 0.2])
    assert with_share(weights, 1, 0.2) == pytest.approx([0.4, 0.2, 0.4])
    assert with_share(np.array([0.0, 1.0, 0.0]), 1, 0.5) == pytest.approx([0.25, 0.5, 0.25])
    assert with_share(np.array([1.0]), 0, 0.3) == pytest.approx([1.0])


@settings(max_examples=40, deadline=None)
@given(
    lists=st.lists(st.permutations(range(6)), min_size=1, max_size=4),
    relevant=st.sets(st.integers(0, 5), min_size=1),
)
def test_ndcg_equals_its_definition(lists: list[list[int]], relevant: set[int]) -> None:
    truth = Histories.from_rows([sorted(relevant)] * len(lists))
    found = mean_ndcg(np.array(lists, dtype=np.int32)[:, :4], truth)
    assert found == pytest.approx(np.mean([naive.ndcg(row, relevant, 4) for row in lists]))


def test_ndcg_without_truth_is_zero() -> None:
    assert mean_ndcg(np.zeros((2, 3), dtype=np.int32), Histories.from_rows([[], [-1]])) == 0.0


def test_scores_are_the_average_of_the_parts() -> None:
    parts = (
        HybridPart(model="popularity", weight=3.0),
        HybridPart(model="item_graph", weight=1.0, settings={"search": {"evaluations": 0}}),
        HybridPart(model="trending", weight=0.0),
    )
    model = HybridWeighted(HybridWeightedConfig(parts=parts)).fit(DATA)
    few = DATA.histories.select(np.arange(5))
    popular, graph, _ = (normalise(part.score_many(few), "minmax") for part in model.parts)
    assert model.score_many(few) == pytest.approx(0.75 * popular + 0.25 * graph, abs=1e-6)


def test_a_part_that_does_not_help_gets_no_weight() -> None:
    parts = (HybridPart(model="popularity", weight=9.0), GRAPH_BY_EVENTS, GRAPH_BY_TEXT)
    blind = HybridWeighted(HybridWeightedConfig(parts=parts)).fit(DATA)
    seeing = HybridWeighted(HybridWeightedConfig(parts=parts)).fit(DATA, validation=TARGETS)
    before = recall(blind.recommend_from(DATA.histories, 10).items, TARGETS)
    after = recall(seeing.recommend_from(DATA.histories, 10).items, TARGETS)
    assert after > before
    weights = [part.weight for part in seeing.config.parts]
    assert sum(weights) == pytest.approx(1.0)
    assert weights[0] < 0.5


def test_few_targets_change_no_weight() -> None:
    few = Histories.from_rows([[1] if user < 99 else [] for user in range(N_USERS)])
    model = HybridWeighted().fit(DATA, validation=few)
    assert [part.weight for part in model.config.parts] == [1.0, 1.0]


def test_parts_of_a_score_sum_to_it() -> None:
    model = HybridWeighted().fit(DATA)
    history = DATA.histories.select(np.array([3]))
    scores = model.score_many(history)[0]
    for item in range(N_ITEMS):
        parts = model.explain(history, item)
        assert sum(part.amount for part in parts) == pytest.approx(scores[item], abs=1e-6)
        assert [part.relation for part in parts] == ["item_graph", "item_graph"]
    assert model.explain(history, N_ITEMS) == []
    with pytest.raises(InvalidInput, match="takes one"):
        model.explain(DATA.histories, 0)


def test_settings_out_of_bounds_are_rejected() -> None:
    with pytest.raises(InvalidInput, match="one of minmax, zscore, softmax"):
        HybridWeightedConfig(normalisation="rank")
    with pytest.raises(InvalidInput, match="all weights are 0"):
        HybridWeightedConfig(parts=(HybridPart(model="popularity", weight=0.0),))
    with pytest.raises(InvalidInput, match=r"HybridWeightedConfig\.sample is 0"):
        HybridWeightedConfig(sample=0)
