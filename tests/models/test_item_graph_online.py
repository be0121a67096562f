"""Online learning of the item graph: counts equal those of a fit on the whole log."""

import dataclasses
import os

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.models.synthetic import dataset

from nearline.data.dataset import Histories
from nearline.kernels import support
from nearline.models.item_graph.config import ItemGraphConfig
from nearline.models.item_graph.model import ItemGraph
from nearline.models.item_graph.sets import for_sets

# NEARLINE_EXAMPLES=1000 draws as many logs; the suite draws fewer.
EXAMPLES = int(os.environ.get("NEARLINE_EXAMPLES", "120"))

# (user, item, time, weight) in order of arrival.
LOGS = st.lists(
    st.tuples(
        st.integers(0, 2),
        st.integers(0, 5),
        st.integers(0, 6),
        st.sampled_from([-1.0, 0.5, 1.0, 3.0]),
    ),
    max_size=25,
)
# Numbers of events beyond which a user is very active.
ACTIVE = st.sampled_from([2, 4, support.VERY_ACTIVE])
Log = list[tuple[int, int, int, float]]
LEARNED = ("popularity", "support", "transitions/", "coengagement/")
# Settings for ordered histories, and for sets, in which the pairs of long histories count less.
CONFIGS = st.sampled_from([ItemGraphConfig(), for_sets(ItemGraphConfig())])


def arrived(log: Log, *, by_time: bool) -> Histories:
    """Histories of users 0-2, in order of time or of arrival."""
    rows = [[event for event in log if event[0] == user] for user in range(3)]
    if by_time:
        rows = [sorted(row, key=lambda event: event[2]) for row in rows]
    events = [event for row in rows for event in row]
    return Histories(
        np.cumsum([0] + [len(row) for row in rows]).astype(np.int64),
        np.array([event[1] for event in events], dtype=np.int32),
        np.array([event[3] for event in events], dtype=np.float32),
        np.array([event[2] for event in events], dtype=np.float64),
    )


def learned(model: ItemGraph) -> dict[str, bytes]:
    """Everything that events teach, bit by bit; the scale stays that of the fit."""
    return {
        name: array.tobytes()
        for name, array in model.arrays().items()
        if name.startswith(LEARNED) and not name.endswith("/scale")
    }


def fitted_on(log: Log, config: ItemGraphConfig | None = None) -> ItemGraph:
    data = dataset([[0]], 6)
    return ItemGraph(config).fit(dataclasses.replace(data, histories=arrived(log, by_time=True)))


@settings(deadline=None, max_examples=EXAMPLES)
@given(LOGS, st.integers(0, 25), st.integers(1, 5), CONFIGS, ACTIVE)
def test_online_counts_equal_a_fit_on_the_whole_log(
    log: Log, cut: int, size: int, config: ItemGraphConfig, active: int
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(support, "VERY_ACTIVE", active)
        model, whole = fitted_on(log[:cut], config), fitted_on(log, config)
        for start in range(cut, len(log), size):
            before = arrived(log[:start], by_time=True)
            model.observe(before, arrived(log[start : start + size], by_time=False))
    assert learned(model) == learned(whole)
    # Rows are shorter than what is kept, so the lists are right too, but for the fit's scale.
    everything = Histories.from_rows([[item] for item in range(6)])
    for name, relation in model._counted.items():
        relation.scale = whole._counted[name].scale
    assert np.array_equal(model.score_many(everything), whole.score_many(everything))


@settings(deadline=None, max_examples=EXAMPLES)
@given(LOGS, st.integers(0, 25), st.integers(0, 2), CONFIGS, ACTIVE)
def test_forgetting_a_user_restores_the_counts(
    log: Log, cut: int, user: int, config: ItemGraphConfig, active: int
) -> None:
    others = [event for event in log if event[0] != user]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(support, "VERY_ACTIVE", active)
        model, without = fitted_on(log[:cut], config), fitted_on(others, config)
        model.observe(arrived(log[:cut], by_time=True), arrived(log[cut:], by_time=False))
        model.forget(arrived([event for event in log if event[0] == user], by_time=True))
    assert learned(model) == learned(without)


def test_a_restored_graph_counts_new_events() -> None:
    log = [(user % 3, user % 5, user, 1.0) for user in range(40)]
    model = fitted_on(log[:20])
    again = ItemGraph.restore(model.config, model.arrays())
    for graph in (model, again):
        graph.observe(arrived(log[:20], by_time=True), arrived(log[20:], by_time=False))
    assert learned(model) == learned(again) == learned(fitted_on(log))
    everything = Histories.from_rows([[item] for item in range(6)])
    assert np.array_equal(model.score_many(everything), again.score_many(everything))


def test_an_untrained_graph_learns_from_events() -> None:
    model = ItemGraph.untrained()
    nobody = Histories.from_rows([[]])
    model.observe(nobody, Histories.from_rows([[7, 9]]))
    assert model.recommend_from(Histories.from_rows([[7]]), 3).items.tolist() == [[9, -1, -1]]
