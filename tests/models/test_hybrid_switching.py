import numpy as np
import pytest
from tests.models.synthetic import N_ITEMS, shop

from nearline.data.dataset import Histories
from nearline.errors import InvalidInput
from nearline.models.capabilities import explain
from nearline.models.hybrids.hybrid import GRAPH_BY_EVENTS, GRAPH_BY_TEXT, HybridPart
from nearline.models.hybrids.hybrid_switching import HybridSwitching, HybridSwitchingConfig

DATA, _ = shop()
PARTS = (HybridPart(model="popularity"), GRAPH_BY_TEXT, GRAPH_BY_EVENTS)


def test_the_length_of_the_history_selects_the_part() -> None:
    model = HybridSwitching(HybridSwitchingConfig(parts=PARTS, at_least=(0, 1, 3))).fit(DATA)
    # Unknown items do not count: the fourth history has one that is known.
    rows = [[], [4], [4, 8, 12], [-1, 4, N_ITEMS + 5, -1]]
    histories, turns = Histories.from_rows(rows), [0, 1, 2, 1]
    lists = model.recommend_from(histories, 5)
    scores = model.score_many(histories)
    for at, turn in enumerate(turns):
        own = histories.select(np.array([at]))
        expected = model.parts[turn].recommend_from(own, 5)
        assert np.array_equal(lists.items[at], expected.items[0])
        assert np.array_equal(scores[at], model.parts[turn].score_many(own)[0])
        item = int(lists.items[at, 0])
        assert model.explain(own, item) == explain(model.parts[turn], own, item)
    with pytest.raises(InvalidInput, match="takes one"):
        model.explain(histories, 0)


@pytest.mark.parametrize("at_least", [(0, 1), (1, 2, 3), (0, 5, 5), (0, 5, 2), ()])
def test_invalid_bounds_are_rejected(at_least: tuple[int, ...]) -> None:
    with pytest.raises(InvalidInput, match="at_least is"):
        HybridSwitchingConfig(parts=PARTS, at_least=at_least)
