"""The item graph by hand: scores, reasons, new items, and the search for settings."""

from dataclasses import replace

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests import naive
from tests.models.synthetic import N_ITEMS, dataset, recall, shop

from nearline.common.progress import no_progress
from nearline.data.dataset import Histories
from nearline.encoders.reading import LANGUAGE, WORDS
from nearline.errors import Damaged, InvalidInput
from nearline.models.item_graph.config import (
    NO_DECAY,
    CoEngagement,
    ContentSettings,
    ItemGraphConfig,
    Projected,
    Search,
    Transitions,
    Vectors,
)
from nearline.models.item_graph.model import ItemGraph
from nearline.models.item_graph.relations import Sources
from nearline.models.item_graph.search import _Objective, choose, ndcg
from nearline.models.neighbours.rp3beta import RP3Beta, RP3BetaConfig
from nearline.models.validation import mean_ndcg

DATA, TARGETS = shop()


def only_transitions() -> ItemGraphConfig:
    return ItemGraphConfig(
        transitions=Transitions(
            half_life=1.0,
            reach=2,
            gap_power=1.0,
            backward=0.5,
            source_exponent=0,
            target_exponent=0,
        ),
        coengagement=CoEngagement(weight=0.0),
    )


def test_transitions_by_hand() -> None:
    # Pairs of 0, 1, 2: forward 1, 1/2, 1 and half of each backward; all divided by 1 * 1 + 1.
    model = ItemGraph(only_transitions()).fit(dataset([[0, 1, 2]], 3))
    raw = np.array([[0, 1, 1 / 2], [1 / 2, 0, 1], [1 / 4, 1 / 2, 0]]) / 2
    scale = 3 / raw.sum()
    scores = model.score_many(Histories.from_rows([[0], [0, 1], [0, -1, 1]]))
    assert scores[0] == pytest.approx(raw[0] * scale, rel=1e-6)
    # The older event counts half; an unknown event does not age it.
    assert scores[1] == pytest.approx((raw[1] + raw[0] / 2) * scale, rel=1e-6)
    assert scores[2].tolist() == scores[1].tolist()
    found = model.recommend_from(Histories.from_rows([[0, 1]]), 2)
    assert found.items.tolist() == [[2, -1]]


def test_the_shrinkage_of_transitions_by_hand() -> None:
    # Item 0 has two events, the others have one: 1 is divided by 2 + 3, and 1/2 by 1 + 3.
    config = only_transitions()
    transitions = msgspec.structs.replace(config.transitions, source_exponent=1.0, shrinkage=3.0)
    config = msgspec.structs.replace(config, transitions=transitions)
    model = ItemGraph(config).fit(dataset([[0, 1], [0, 2]], 3))
    raw = np.array([[0, 1 / 5, 1 / 5], [1 / 8, 0, 0], [1 / 8, 0, 0]])
    scores = model.score_many(Histories.from_rows([[0], [1], [2]]))
    assert scores == pytest.approx(raw * 3 / raw.sum(), rel=1e-6)


def test_coengagement_by_hand() -> None:
    config = ItemGraphConfig(
        transitions=Transitions(weight=0.0),
        coengagement=CoEngagement(weight=2.0, half_life=1.0, shrinkage=0.0, exponent=0.5),
    )
    model = ItemGraph(config).fit(dataset([[0, 1], [1, 0], [0, 2]], 3))
    # Cosines: 2 of sqrt(3 * 2), and 1 of sqrt(3 * 1); rows sum to 3 after scaling.
    cosine = np.array([2 / 6**0.5, 1 / 3**0.5])
    scale = 3 / (2 * cosine.sum())
    scores = model.score_many(Histories.from_rows([[0]]))[0]
    assert scores == pytest.approx([0, *(2 * cosine * scale)], rel=1e-6)


def test_a_dislike_makes_no_edges_and_counts_against() -> None:
    rows = dataset([[0, 1, 2]], 3)
    weights = np.array([1, -1, 1], dtype=np.float32)
    data = replace(rows, histories=replace(rows.histories, weights=weights))
    model = ItemGraph(only_transitions()).fit(data)
    scores = model.score_many(Histories.from_rows([[0]]))[0]
    assert scores[1] == 0
    assert scores[2] > 0
    history = replace(Histories.from_rows([[0]]), weights=np.array([-1], dtype=np.float32))
    assert model.score_many(history)[0].tolist() == (-scores).tolist()
    assert model.recommend_from(history, 3).items.tolist() == [[-1, -1, -1]]


@settings(deadline=None, max_examples=30)
@given(st.lists(st.integers(-1, N_ITEMS + 2), max_size=12), st.integers(0, N_ITEMS - 1))
def test_parts_sum_to_the_score(items: list[int], target: int) -> None:
    model = fitted()
    history = Histories.from_rows([items])
    parts = model.explain(history, target)
    score = model.score(history, np.array([target], dtype=np.int32))[0]
    assert sum(part.amount for part in parts) == pytest.approx(score, abs=1e-6)
    assert score == model.score_many(history)[0, target]
    assert {part.relation for part in parts} <= set(model.relations)
    assert [part.source for part in parts] == sorted(part.source for part in parts)
    assert all(0 <= items[part.source] < N_ITEMS for part in parts)


_FITTED: list[ItemGraph] = []


def fitted() -> ItemGraph:
    """One model for the tests that only read."""
    if not _FITTED:
        _FITTED.append(ItemGraph().fit(DATA))
    return _FITTED[0]


def test_scores_of_unknown_items_are_zero() -> None:
    asked = np.array([-1, 0, N_ITEMS, N_ITEMS + 9], dtype=np.int32)
    scores = fitted().score(Histories.from_rows([[1, 2]]), asked)
    assert scores[[0, 2, 3]].tolist() == [0, 0, 0]
    assert scores[1] > 0


def test_a_new_item_has_edges_in_both_directions_at_once() -> None:
    model = ItemGraph().fit(DATA)
    item = model.add_item("group1 thing extra", {"colour": np.eye(4, dtype=np.float32)[1]})
    assert (item, model.n_items) == (N_ITEMS, N_ITEMS + 1)
    found = model.recommend_from(Histories.from_rows([[item]]), 5).items[0]
    assert (found % 4 == 1).all()
    assert item in model.recommend_from(Histories.from_rows([[1]]), N_ITEMS).items[0]
    assert item not in model.recommend_from(Histories.from_rows([[item, 1]]), N_ITEMS).items[0]
    reasons = model.explain(Histories.from_rows([[1]]), item)
    assert [part.relation for part in reasons] == ["content", "vector:colour"]


def test_content_weighs_more_for_items_with_few_events() -> None:
    # Twins by their words: 1 has an event, 2 has two, 3 has none.
    data = dataset([[0], [1], [2], [2]], 4, ["tea"] * 4)
    config = ItemGraphConfig(
        transitions=Transitions(weight=0.5),
        coengagement=CoEngagement(weight=1.0),
        content=ContentSettings(weight=2.0),
        projected=Projected(weight=1.0),
        search=Search(evaluations=0),
    )
    model = ItemGraph(config).fit(data)
    history = Histories.from_rows([[0]])

    def scores() -> list[float]:
        found: list[float] = model.score_many(history)[0, 1:].tolist()
        return found

    # All weights over those of content are 4.5 / 3: half of what is missing for each event.
    plain = scores()[2] / 1.5
    assert scores() == pytest.approx([plain * gain for gain in (1.25, 1.125, 1.5)])
    model.observe(Histories.from_rows([[]]), Histories.from_rows([[3]]))
    assert scores() == pytest.approx([plain * gain for gain in (1.25, 1.125, 1.25)])
    again = ItemGraph.restore(config, model.arrays())
    assert np.array_equal(again.score_many(history), model.score_many(history))
    model.forget(Histories.from_rows([[3]]))
    assert scores() == pytest.approx([plain * gain for gain in (1.25, 1.125, 1.5)])
    model.add_item("tea")
    assert model.score_many(history)[0, 4] == pytest.approx(plain * 1.5)


def test_a_new_text_replaces_the_old_edges() -> None:
    texts = ["green tea", "black tea", "red shoes", "blue shoes"]
    model = ItemGraph().fit(dataset([[0, 1]], 4, texts))
    assert set(model.similar(np.array([3]), 3).items[0].tolist()) == {2, -1}
    for text, neighbours in (("tea leaf", {0, 1, -1}), ("blue shoes", {2, -1}), ("", {-1})):
        model.put_items([3], [text])
        assert set(model.similar(np.array([3]), 3).items[0].tolist()) == neighbours
        backwards = model.score_many(Histories.from_rows([[0], [1], [2]]))[:, 3] > 0
        assert set(np.flatnonzero(backwards).tolist()) == neighbours - {-1}
    before = model.arrays()
    model.put_items([0], ["green tea"])
    assert all(np.array_equal(a, model.arrays()[name]) for name, a in before.items())


def test_a_new_item_is_projected_to_its_likely_audience() -> None:
    # Two kinds of users; items of a kind share buyers, and no word joins "tea" to "cup".
    words = ["tea", "cup", "shoe", "lace"]
    texts = [f"{words[item % 4]} mark{item // 4}" for item in range(40)]
    rng = np.random.default_rng(0)
    kinds = [[i for i in range(40) if i % 4 // 2 == kind] for kind in (0, 1)]
    rows = [rng.permutation(kinds[user % 2])[:8].tolist() for user in range(200)]
    config = ItemGraphConfig(
        transitions=Transitions(weight=0.0),
        coengagement=CoEngagement(weight=0.0),
        content=ContentSettings(weight=0.0),
        projected=Projected(fewest=10, factors=4),
    )
    model = ItemGraph(config).fit(dataset(rows, 40, texts))
    item = model.add_item("cup")
    of_tea = model.score(Histories.from_rows([[0]]), np.array([item], dtype=np.int32))[0]
    of_shoe = model.score(Histories.from_rows([[2]]), np.array([item], dtype=np.int32))[0]
    assert of_tea > 10 * max(of_shoe, 0.0)
    again = ItemGraph.restore(config, model.arrays())
    one, two = model.add_item("lace"), again.add_item("lace")
    everything = Histories.from_rows([[i] for i in range(40)])
    assert one == two
    assert np.array_equal(model.score_many(everything), again.score_many(everything))
    none = ItemGraph(msgspec.structs.replace(config, projected=Projected(fewest=41))).fit(
        dataset(rows, 40, texts)
    )
    assert not none.score_many(everything).any()


def test_an_untrained_graph_recommends_by_content() -> None:
    model = ItemGraph.untrained()
    assert model.recommend_from(Histories.from_rows([[0]]), 3).items.tolist() == [[-1, -1, -1]]
    model.put_items([0, 1, 2], ["green tea", "black tea", "red shoes"])
    assert model.recommend_from(Histories.from_rows([[0]]), 2).items.tolist() == [[1, -1]]
    for item in range(3, 2_000):
        model.put_items([item], [f"tea number{item}" if item % 500 == 0 else ""])
    found = model.recommend_from(Histories.from_rows([[0]]), 9).items[0]
    assert set(found.tolist()) == {1, 500, 1000, 1500, -1}


def test_items_put_together_equal_items_put_one_by_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("nearline.models.item_graph.content_relations.ITEMS_AT_ONCE", 7)
    together, apart = ItemGraph().fit(DATA), ItemGraph().fit(DATA)
    rng = np.random.default_rng(0)
    # New items, changed ones, some twice, and texts that are taken away.
    items = [*range(N_ITEMS, N_ITEMS + 20), 3, 70, 3, 5, N_ITEMS + 4, N_ITEMS + 30, 6]
    texts = [f"group{item % 4} thing number{at // 2}" for at, item in enumerate(items)]
    texts[5] = texts[23] = ""
    colours = rng.normal(size=(len(items), 4)).astype(np.float32)
    together.put_items(items, texts, {"colour": colours})
    for at, item in enumerate(items):
        apart.put_items([item], [texts[at]], {"colour": colours[at : at + 1]})
    assert together.n_items == apart.n_items == N_ITEMS + 31
    for name, array in apart.arrays().items():
        assert np.array_equal(array, together.arrays()[name]), name


def test_a_restored_graph_contains_items_added_after_training() -> None:
    model = ItemGraph().fit(DATA)
    view = model._graph()
    model.put_items([5, 70], ["group3 changed thing", "group3 new thing"])
    model.put_items(
        [N_ITEMS],
        ["group0"],
        {"colour": np.ones((1, 4), np.float32), "unknown": np.ones((1, 2), np.float32)},
    )
    again = ItemGraph.restore(model.config, model.arrays())
    everything = Histories.from_rows([[item] for item in range(model.n_items)])
    assert model.n_items == again.n_items == 71
    assert np.array_equal(model.score_many(everything), again.score_many(everything))
    for name, array in again.arrays().items():
        assert np.array_equal(array, model.arrays()[name]), name
    # Who took a view before goes on with the items of that time.
    assert view.n_items == N_ITEMS


def test_the_search_improves_settings_and_is_deterministic() -> None:
    start = ItemGraphConfig(
        transitions=Transitions(weight=3.0),
        content=ContentSettings(weight=0.05),
        search=Search(evaluations=40),
    )
    steps: list[tuple[int, int]] = []
    runs = [
        ItemGraph(start).fit(
            DATA, validation=TARGETS, seed=1, progress=lambda done, of, _: steps.append((done, of))
        )
        for _ in range(2)
    ]
    assert runs[0].config == runs[1].config != start
    before = ItemGraph(start).fit(DATA)
    found, first = (m.recommend_from(DATA.histories, 10).items for m in (runs[0], before))
    assert recall(found, TARGETS) > recall(first, TARGETS)
    assert steps[0] == (1, 40)
    assert all(done <= of for done, of in steps)


def test_scales_of_a_search_are_kept_on_a_longer_log() -> None:
    chosen = ItemGraph(ItemGraphConfig(search=Search(evaluations=5))).fit(DATA, validation=TARGETS)
    scales = chosen.config.scales
    # There are too few items to project.
    assert set(scales) == {"transitions", "coengagement", "content", "vector:colour"}
    first = chosen.arrays()
    each = Histories.from_rows([[item] for item in range(DATA.n_items)])
    for name in scales:
        alone = chosen.config
        for other in scales:
            relation = alone.relation(other)
            weighed = msgspec.structs.replace(relation, weight=float(other == name))
            alone = alone.with_relation(other, weighed)
        # One event on each item: the sum of all rows, a mass of one an item.
        mass = ItemGraph.restore(alone, first).score_many(each).sum(dtype=np.float64)
        assert np.isclose(mass, DATA.n_items, rtol=1e-4)
    rows = [[*DATA.histories.row(user).tolist(), 0, 1, 2] for user in range(DATA.n_users)]
    longer = replace(DATA, histories=Histories.from_rows(rows))
    again = ItemGraph(chosen.config).fit(longer).arrays()
    assert again["transitions/scale"][0] == scales["transitions"]
    assert again["coengagement/scale"][0] == scales["coengagement"]
    # Texts did not change, and neither did what they say.
    assert np.array_equal(again["content/values"], first["content/values"])
    assert ItemGraph(chosen.config).fit(longer).config == chosen.config


def test_the_search_keeps_the_better_reading() -> None:
    # The words of a pair of items agree without their endings only, or only with them.
    for texts, expected in (
        (["cup", "cups", "pot", "pots"] * 30, LANGUAGE),
        (["cup", "cup", "cups", "cups"] * 30, WORDS),
    ):
        named = [f"{text} m{number // 4}" for number, text in enumerate(texts)]
        rows = [[number // 2 * 2] for number in range(120)]
        data = replace(dataset(rows, 120), texts=named)
        targets = Histories.from_rows([[row[0] + 1] for row in rows])
        config = ItemGraphConfig(search=Search(evaluations=5))
        found = choose(data, Sources(data), targets, config, seed=0, progress=no_progress)
        assert found is not None
        assert found.content.reading == expected


def test_a_graph_of_a_version_without_readings_keeps_its_own() -> None:
    texts = ["The mugs", "a mug", "the lamp"]
    words = ItemGraphConfig(content=ContentSettings(reading=WORDS))
    data = replace(dataset([[0], [1]], 3), texts=texts)
    arrays = ItemGraph(words).fit(data).arrays()
    assert not any("languages" in name for name in arrays)
    again = ItemGraph.restore(ItemGraphConfig(), arrays)
    assert again.config == words
    assert again.search_text("mugs", 3).items.tolist() == [[0]]
    new = ItemGraph(ItemGraphConfig()).fit(data)
    kept = ItemGraph.restore(ItemGraphConfig(), new.arrays())
    assert kept.config.content.reading == LANGUAGE
    assert sorted(kept.search_text("mugs", 3).items[0].tolist()) == [0, 1]


def test_the_search_measures_the_model_that_it_chooses() -> None:
    # Words weigh little and events are few: what stands for missing pairs is much.
    few = DATA.take(np.arange(DATA.n_interactions) % 4 == 0)
    config = ItemGraphConfig(
        content=ContentSettings(weight=0.05),
        projected=Projected(weight=0.05),
        vectors={"colour": Vectors(weight=0.05)},
        search=Search(evaluations=0),
    )
    judged = _Objective(few, Sources(few), TARGETS, config, seed=0)(config)
    lists = ItemGraph(config).fit(few).recommend_from(few.histories, 10).items
    known = np.flatnonzero((np.diff(few.histories.indptr) > 0) & (np.diff(TARGETS.indptr) > 0))
    expected = mean_ndcg(lists[known], TARGETS.select(known))
    assert judged == pytest.approx(expected, abs=1e-9)


def test_too_little_validation_data_changes_nothing() -> None:
    few = Histories.from_rows([[0]] + [[]] * (DATA.n_users - 1))
    config = ItemGraphConfig()
    sources = Sources(DATA)
    assert choose(DATA, sources, few, config, seed=0, progress=no_progress) is None
    off = ItemGraphConfig(search=Search(evaluations=0))
    assert choose(DATA, sources, TARGETS, off, seed=0, progress=no_progress) is None
    for kept, targets in ((config, few), (off, TARGETS)):
        assert ItemGraph(kept).fit(DATA, validation=targets).config is kept
    with pytest.raises(InvalidInput, match="validation has 1 rows"):
        ItemGraph().fit(DATA, validation=Histories.from_rows([[0]]))


@given(st.lists(st.lists(st.integers(0, 9), min_size=1, max_size=4), min_size=1), st.integers(1, 6))
def test_ndcg_of_several_targets(ranks: list[list[int]], k: int) -> None:
    flat = np.array([rank for row in ranks for rank in row])
    indptr = np.cumsum([0] + [len(row) for row in ranks])
    assert ndcg(flat, indptr, k) == pytest.approx(naive.ndcg(ranks, k))


def test_settings_from_a_manifest() -> None:
    config = ItemGraphConfig(content=ContentSettings(weight=2.5))
    assert ItemGraphConfig.from_builtins(msgspec.to_builtins(config)) == config
    with pytest.raises(InvalidInput, match="wieght"):
        ItemGraphConfig.from_builtins({"content": {"wieght": 1.0}})


def test_invalid_input_is_rejected() -> None:
    with pytest.raises(InvalidInput, match="one of words, language"):
        ContentSettings(reading="letters")
    model = ItemGraph().fit(DATA)
    with pytest.raises(InvalidInput, match="2 items but 1 texts"):
        model.put_items([0, 1], ["one"])
    with pytest.raises(InvalidInput, match="explain takes one"):
        model.explain(Histories.from_rows([[0], [1]]), 0)
    arrays = model.arrays()
    del arrays["content/values"]
    with pytest.raises(Damaged, match="content/values"):
        ItemGraph.restore(model.config, arrays)


def test_pairs_of_sets_by_hand() -> None:
    """Sets {0, 1} and {0, 1, 2}: neither the order of items nor their distance matters."""
    rows = [[0, 1], [2, 0, 1]]
    data = replace(dataset(rows, 3), order="none")
    pairs = {"source_exponent": 1.0, "exponent": 0.5, "user_exponent": 1.0, "shrinkage": 0.0}
    pairs["weight"] = 1.0
    config = ItemGraphConfig.from_builtins({"coengagement": pairs, "scales": {"coengagement": 1.0}})
    model = ItemGraph(config).fit(data)
    # 3 is rounded to a power of 2 ** (1/4): 2 ** 1.5.
    three = 2**1.5
    both = (1 / 2 + 1 / three) / 2 / 2**0.5
    found = model.score_many(Histories.from_rows([[0], [2], [0, 1], [1, 0]]))
    assert found[0] == pytest.approx(np.array([0, both, 1 / three / 2]), rel=1e-6)
    assert found[1] == pytest.approx(np.array([1 / three / 2**0.5] * 2 + [0]), rel=1e-6)
    assert found[2] == pytest.approx(np.array([both, both, 2 / three / 2]), rel=1e-6)
    assert np.array_equal(found[2], found[3])
    assert {part.relation for part in model.explain(Histories.from_rows([[0, 1]]), 2)} == {
        "coengagement"
    }


def test_rp3beta_is_a_special_case_of_sets() -> None:
    """All users have four items, so that the number of items need not be rounded."""
    rng = np.random.default_rng(2)
    rows = [rng.permutation(9)[:4].tolist() for _ in range(30)]
    data = replace(dataset(rows, 9), order="none")
    pairs = {"source_exponent": 1.0, "exponent": 0.4, "user_exponent": 1.0, "shrinkage": 0.0}
    pairs["weight"] = 1.0
    config = ItemGraphConfig.from_builtins({"coengagement": pairs, "scales": {"coengagement": 1.0}})
    expected = RP3Beta(RP3BetaConfig(beta=0.4)).fit(data).score_many(data.histories)
    found = ItemGraph(config).fit(data).score_many(data.histories)
    assert found == pytest.approx(expected, rel=1e-5)


def test_a_search_on_sets_neither_uses_order_nor_depends_on_it() -> None:
    data, targets = shop()
    data = replace(data, order="none")
    rows = [data.histories.row(user)[::-1].tolist() for user in range(data.n_users)]
    turned = replace(data, histories=Histories.from_rows(rows))
    one, other = (ItemGraph().fit(some, validation=targets) for some in (data, turned))
    assert one.config == other.config
    assert one.config.transitions.weight == 0
    assert {one.config.relation(name).half_life for name in one.relations[1:]} == {NO_DECAY}
    assert one.score_many(data.histories) == pytest.approx(
        other.score_many(turned.histories), rel=1e-5
    )
