import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace
from tests import naive_factors as naive
from tests.models.synthetic import N_ITEMS, shop

from nearline.errors import InvalidInput
from nearline.models.hybrids.hybrid import GRAPH_BY_EVENTS, GRAPH_BY_TEXT, HybridPart
from nearline.models.hybrids.hybrid_fusion import HybridFusion, HybridFusionConfig

DATA, _ = shop()
FITTED = HybridFusion().fit(DATA)


def test_two_lists_by_hand() -> None:
    parts = (HybridPart(model="popularity", weight=2.0), HybridPart(model="popularity"))
    model = HybridFusion(HybridFusionConfig(parts=parts, depth=2, smoothing=1.0)).fit(DATA)
    found = model.recommend_from(DATA.histories.select(np.array([0])), 3)
    # First in both lists: 3 / (1 + 1); second: 3 / (1 + 2); the lists end there.
    assert found.scores[0] == pytest.approx([1.5, 1.0, 0.0])
    assert found.items[0, 2] == -1


@settings(max_examples=20, deadline=None)
@given(
    user=st.integers(0, DATA.n_users - 1),
    weight=st.floats(0.1, 3.0),
    depth=st.integers(1, N_ITEMS),
    exclude_seen=st.booleans(),
)
def test_lists_equal_the_formula(user: int, weight: float, depth: int, exclude_seen: bool) -> None:
    parts = (GRAPH_BY_EVENTS, replace(GRAPH_BY_TEXT, weight=weight))
    model = HybridFusion(HybridFusionConfig(parts=parts, depth=depth))
    model.parts = FITTED.parts
    history = DATA.histories.select(np.array([user]))
    lists = [
        part.recommend_from(history, depth, exclude_seen=exclude_seen).items[0]
        for part in FITTED.parts
    ]
    full = [row[row >= 0].tolist() for row in lists]
    expected = naive.reciprocal_ranks(full, [1.0, weight], 60.0)
    found = model.recommend_from(history, N_ITEMS, exclude_seen=exclude_seen)
    listed = found.items[0] >= 0
    scores = dict(zip(found.items[0, listed].tolist(), found.scores[0, listed], strict=True))
    assert scores == pytest.approx(expected, rel=1e-5)


def test_settings_out_of_bounds_are_rejected() -> None:
    with pytest.raises(InvalidInput, match=r"HybridFusionConfig\.depth is 0"):
        HybridFusionConfig(depth=0)
    with pytest.raises(InvalidInput, match=r"HybridFusionConfig\.smoothing is -1"):
        HybridFusionConfig(smoothing=-1.0)
