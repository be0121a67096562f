"""What the hybrids for lists share, shown on each of them."""

import msgspec
import numpy as np
import pytest
from tests.models.synthetic import N_ITEMS, shop

from nearline.data.dataset import Histories
from nearline.errors import Damaged, InvalidInput
from nearline.models.hybrids.hybrid import GRAPH_BY_EVENTS, Hybrid, HybridPart, widened
from nearline.models.hybrids.hybrid_cascade import HybridCascade
from nearline.models.hybrids.hybrid_fusion import HybridFusion, HybridFusionConfig
from nearline.models.hybrids.hybrid_switching import HybridSwitching, HybridSwitchingConfig
from nearline.models.hybrids.hybrid_weighted import HybridWeighted, HybridWeightedConfig
from nearline.models.registry import make_model

DATA, TARGETS = shop()
KINDS: list[type[Hybrid]] = [HybridCascade, HybridFusion, HybridSwitching, HybridWeighted]


@pytest.mark.parametrize("kind", KINDS)
def test_parts_are_created_by_name_and_settings(kind: type[Hybrid]) -> None:
    settings = {
        "parts": [
            {"model": "popularity"},
            {"model": "item_graph", "settings": {"max_history": 7}, "weight": 2.0},
        ]
    }
    model = make_model(kind.name, settings)
    assert isinstance(model, kind)
    assert [part.name for part in model.parts] == ["popularity", "item_graph"]
    assert model.parts[1].config.max_history == 7


@pytest.mark.parametrize("kind", KINDS)
def test_new_items_reach_all_parts(kind: type[Hybrid]) -> None:
    model = kind().fit(DATA)
    model.put_items([N_ITEMS], ["group1 thing fresh"])
    assert model.n_items == N_ITEMS + 1
    scores = model.score_many(Histories.from_rows([[1, 5, 9], []]))
    assert scores.shape == (2, N_ITEMS + 1)


def test_parts_choose_settings_by_validation() -> None:
    graph = HybridPart(model="item_graph", settings={"search": {"evaluations": 5}})
    model = HybridWeighted(HybridWeightedConfig(parts=(graph,)))
    model.fit(DATA, validation=TARGETS)
    assert model.config.parts[0].settings == msgspec.to_builtins(model.parts[0].config)
    restored = HybridWeighted.restore(model.config, model.arrays())
    assert restored.parts[0].config == model.parts[0].config
    with pytest.raises(InvalidInput, match="validation has 1 rows"):
        model.fit(DATA, validation=Histories.from_rows([[1]]))


def test_invalid_parts_are_rejected() -> None:
    with pytest.raises(InvalidInput, match="'als' learns from ratings"):
        HybridWeighted(HybridWeightedConfig(parts=(HybridPart(model="als"),)))
    with pytest.raises(InvalidInput, match="there is no model 'alss'"):
        HybridWeighted(HybridWeightedConfig(parts=(HybridPart(model="alss"),)))
    with pytest.raises(InvalidInput, match="hybrid_fusion has no parts"):
        HybridFusion(HybridFusionConfig(parts=()))
    with pytest.raises(InvalidInput, match="weight of part 'als' is -1"):
        HybridPart(model="als", weight=-1.0)


def test_a_missing_array_of_a_part_is_reported() -> None:
    model = HybridFusion().fit(DATA)
    arrays = model.arrays()
    del arrays["1/n_items"]
    with pytest.raises(Damaged, match="n_items"):
        HybridFusion.restore(model.config, arrays)


def test_scores_are_extended_by_zeros() -> None:
    scores = np.ones((2, 3), dtype=np.float32)
    assert widened(scores, 3) is scores
    assert widened(scores, 5)[:, 3:].tolist() == [[0, 0], [0, 0]]


def test_hybrids_may_be_parts_of_hybrids() -> None:
    inner = HybridPart(model="hybrid_fusion")
    model = HybridSwitching(
        HybridSwitchingConfig(parts=(GRAPH_BY_EVENTS, inner), at_least=(0, 3))
    ).fit(DATA)
    again = HybridSwitching.restore(model.config, model.arrays())
    history = Histories.from_rows([[1, 5, 9, 13]])
    assert np.array_equal(
        model.recommend_from(history, 5).items, again.recommend_from(history, 5).items
    )
