import numpy as np
import pytest
from tests.models.synthetic import N_ITEMS, shop

from nearline.data.dataset import Histories
from nearline.errors import InvalidInput
from nearline.models.hybrids.hybrid import HybridPart
from nearline.models.hybrids.hybrid_cascade import HybridCascade, HybridCascadeConfig

DATA, _ = shop()


def test_the_second_part_ranks_the_candidates_of_the_first() -> None:
    model = HybridCascade(HybridCascadeConfig(candidates=8)).fit(DATA)
    first, second = model.parts
    for user in range(0, 40, 7):
        history = DATA.histories.select(np.array([user]))
        proposed = first.recommend_from(history, 8).items[0]
        scores = second.score(history, proposed)
        order = sorted(zip(-scores, proposed.tolist(), strict=True))
        listed = model.recommend_from(history, 20)
        assert listed.items[0, :8].tolist() == [item for _, item in order]
        assert (listed.items[0, 8:] == -1).all()


def test_candidates_are_allowed_items() -> None:
    model = HybridCascade(HybridCascadeConfig(candidates=5)).fit(DATA)
    allowed = np.arange(N_ITEMS) % 2 == 0
    listed = model.recommend_from(DATA.histories, 5, allowed=allowed).items
    # All five places are filled: proposals were drawn from what is allowed, not cut afterwards.
    assert (listed >= 0).all()
    assert (listed % 2 == 0).all()


def test_other_items_score_below_the_worst_candidate() -> None:
    parts = (HybridPart(model="popularity"), HybridPart(model="popularity"))
    model = HybridCascade(HybridCascadeConfig(parts=parts, candidates=3)).fit(DATA)
    scores = model.score_many(Histories.from_rows([[]]))[0]
    counts = np.sort(np.bincount(DATA.histories.items))[::-1]
    assert np.sort(scores)[::-1][:3].tolist() == counts[:3].tolist()
    assert set(np.sort(scores)[:-3].tolist()) == {counts[2] - 1.0}


def test_explanations_are_those_of_the_second_part() -> None:
    model = HybridCascade(HybridCascadeConfig(candidates=10)).fit(DATA)
    history = DATA.histories.select(np.array([2]))
    listed = model.recommend_from(history, 1, exclude_seen=False)
    parts = model.explain(history, int(listed.items[0, 0]))
    assert sum(part.amount for part in parts) == pytest.approx(float(listed.scores[0, 0]))
    worst = int(np.argmin(model.score_many(history)[0]))
    assert model.explain(history, worst) == []
    with pytest.raises(InvalidInput, match="takes one"):
        model.explain(DATA.histories, 0)


def test_settings_out_of_bounds_are_rejected() -> None:
    with pytest.raises(InvalidInput, match=r"HybridCascadeConfig\.candidates is 0"):
        HybridCascadeConfig(candidates=0)
    with pytest.raises(InvalidInput, match="hybrid_cascade has 1 parts; it takes two"):
        HybridCascadeConfig(parts=(HybridPart(model="popularity"),))  # type: ignore[arg-type]
