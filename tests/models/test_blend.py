import numpy as np
import pytest
from tests.models.synthetic import N_ITEMS, N_USERS, recall, shop

from nearline.data.dataset import Dataset, Histories
from nearline.errors import InvalidInput
from nearline.models.capabilities import LearnsOnline
from nearline.models.hybrids.blend import Blend, BlendConfig, BlendPart
from nearline.models.hybrids.blend_pool import (
    HeldOutUsers,
    StackingFold,
    gather,
    gather_all,
    union,
)
from nearline.models.hybrids.blend_search import shortened
from nearline.models.hybrids.normalisers import Normaliser, normalised
from nearline.models.item_graph.config import ItemGraphConfig, Search
from nearline.models.item_graph.model import ItemGraph

DATA, TARGETS = shop()
GRAPH = BlendPart(model="item_graph", settings={"search": {"evaluations": 0}})
POPULAR = BlendPart(model="popularity", weight=1.0, normaliser="softmax", temperature=10.0)


def blend(*parts: BlendPart) -> Blend:
    return Blend(BlendConfig(parts=parts))


def test_scores_are_the_mixture_of_the_parts() -> None:
    model = blend(BlendPart(model="item_graph", weight=3.0, settings=GRAPH.settings), POPULAR)
    model.fit(DATA)
    few = DATA.histories.select(np.arange(5))
    graph, popular = (part.score_many(few) for part in model.parts)
    wanted = 0.75 * normalised(graph, Normaliser("share", 1.0)) + 0.25 * normalised(
        popular, Normaliser("softmax", 10.0)
    )
    assert model.score_many(few) == pytest.approx(wanted, abs=1e-7)
    assert model.score_many(few).sum(axis=1) == pytest.approx(np.ones(5), abs=1e-5)


def test_weights_depend_on_the_length_of_the_history() -> None:
    parts = (
        BlendPart(model="item_graph", settings=GRAPH.settings, weights=(0.0, 1.0, 1.0, 3.0)),
        BlendPart(model="popularity", weights=(1.0, 1.0, 0.0, 1.0)),
    )
    model = blend(*parts).fit(DATA)
    # 0 and 1 known events, 2, 3 to 5, 6 and more; an unknown item is none.
    rows = [[], [4, -1], [4, 5], [4, 5, 6, 7, 8], [4, 5, 6, 7, 8, 9]]
    asked = Histories.from_rows(rows)
    share = Normaliser("share")
    graph, popular = (normalised(part.score_many(asked), share) for part in model.parts)
    weight = np.array([0, 0, 0.5, 1, 0.75])[:, None]
    wanted = weight * graph + (1 - weight) * popular
    assert model.score_many(asked) == pytest.approx(wanted, abs=1e-7)


def test_parts_of_a_score_sum_to_it() -> None:
    model = blend(GRAPH, POPULAR).fit(DATA)
    history = DATA.histories.select(np.array([3]))
    scores = model.score_many(history)[0]
    for item in range(N_ITEMS):
        parts = model.explain(history, item)
        assert sum(part.amount for part in parts) == pytest.approx(scores[item], abs=1e-7)
        assert parts[-1].relation == "popularity"
        graph = model.parts[0]
        assert isinstance(graph, ItemGraph)
        assert {part.relation for part in parts[:-1]} <= set(graph.relations)
    assert model.explain(history, N_ITEMS) == []
    with pytest.raises(InvalidInput, match="takes one"):
        model.explain(DATA.histories, 0)


def test_a_part_that_does_not_help_gets_no_weight() -> None:
    parts = (BlendPart(model="popularity", weight=9.0), GRAPH)
    blind = blend(*parts).fit(DATA)
    seeing = blend(*parts).fit(DATA, validation=TARGETS)
    before = recall(blind.recommend_from(DATA.histories, 10).items, TARGETS)
    after = recall(seeing.recommend_from(DATA.histories, 10).items, TARGETS)
    assert after > before
    weights = [part.weight for part in seeing.config.parts]
    assert sum(weights) == pytest.approx(1.0)
    assert weights[0] < 0.5
    again = Blend(seeing.config).fit(DATA)
    assert np.array_equal(again.score_many(DATA.histories), seeing.score_many(DATA.histories))


def test_few_targets_change_no_weight() -> None:
    few = Histories.from_rows([[1] if user < 99 else [] for user in range(N_USERS)])
    model = blend(GRAPH, POPULAR).fit(DATA, validation=few)
    assert [part.weight for part in model.config.parts] == [1.0, 1.0]
    assert [part.weights for part in model.config.parts] == [(), ()]


def test_events_and_erasures_reach_the_parts_that_learn_online() -> None:
    half = DATA.histories.select(np.arange(N_USERS // 2))
    rest = DATA.histories.select(np.arange(N_USERS // 2, N_USERS))
    data = Dataset(
        user_ids=DATA.user_ids[: len(half)],
        item_ids=DATA.item_ids,
        histories=half,
        values=DATA.values[: len(half.items)],
        texts=DATA.texts,
    )
    model, graph = blend(GRAPH).fit(data), ItemGraph(ItemGraphConfig(search=Search(evaluations=0)))
    graph.fit(data)
    nothing = rest.take(np.zeros(len(rest.items), dtype=np.bool_))
    assert isinstance(model, LearnsOnline)
    model.preallocate(10)

    def same() -> bool:
        (part,) = model.parts
        return np.array_equal(part.score_many(rest), graph.score_many(rest))

    for one in (model, graph):
        one.observe(nothing, rest)
    assert same()
    learned = model.score_many(rest)
    for one in (model, graph):
        one.forget(rest)
    assert same()
    assert not np.array_equal(model.score_many(rest), learned)
    model.rebuild_counts(DATA.histories, N_ITEMS)
    assert model.score_many(rest) == pytest.approx(learned, abs=1e-6)


def test_an_item_known_to_a_single_part_is_listed() -> None:
    model = blend(GRAPH, POPULAR).fit(DATA)
    model.put_items([N_ITEMS], ["group1 thing number1"])
    found = model.recommend_from(Histories.from_rows([[1]]), N_ITEMS).items[0]
    assert N_ITEMS in found
    assert model.n_items == N_ITEMS + 1
    assert model.explain(Histories.from_rows([[1]]), N_ITEMS)


def test_candidates_are_the_best_unseen_items_of_each_part() -> None:
    first = np.array([[5, 4, 3, 0, 0, 0]], dtype=np.float32)
    second = np.array([[0, 0, 0, 0, 1, 2]], dtype=np.float32)
    found = union([first, second], Histories.from_rows([[0]]), 2, 4)
    assert found.tolist() == [[1, 2, 4, 5]]
    found = union([first, first], Histories.from_rows([[0]]), 2, 4)
    assert found.tolist() == [[1, 2, -1, -1]]


def test_a_pool_contains_exact_scores_and_targets() -> None:
    model = blend(GRAPH, POPULAR).fit(DATA)
    some = np.arange(7)
    rows = HeldOutUsers(DATA.histories.select(some), TARGETS.select(some), N_ITEMS)
    choices = [[Normaliser("share")], [Normaliser("softmax", 3.0)]]
    pool = gather(model.parts, rows, rows.histories, choices, N_ITEMS)
    # With so many candidates all unseen items are: their order is that of the index.
    for row in range(7):
        unseen = np.setdiff1d(np.arange(N_ITEMS), rows.histories.row(row))
        assert pool.inside[row].sum() == len(unseen)
        for part, scores in zip(model.parts, pool.scores, strict=True):
            every = part.score_many(rows.histories.select(np.array([row])))[0]
            assert scores[row, : len(unseen)] == pytest.approx(every[unseen], rel=1e-6)
        target = rows.truth.row(row)[0]
        assert pool.relevant[row, : len(unseen)].tolist() == (unseen == target).tolist()
    assert pool.best == pytest.approx(np.ones(7))


def test_the_users_of_each_fold_are_scored_by_its_parts() -> None:
    popular = BlendPart(model="popularity")
    first, second = (
        blend(popular, GRAPH).fit(DATA.take(DATA.user_of_each() % 2 == half)) for half in (0, 1)
    )
    halves = [np.arange(half, N_USERS, 2)[:5] for half in (1, 0)]
    rows = [HeldOutUsers(DATA.histories.select(u), TARGETS.select(u), N_ITEMS) for u in halves]
    choices = [[Normaliser("share")], [Normaliser("softmax", 3.0), Normaliser("share")]]
    asked = [
        (StackingFold(m.parts, r), r.histories) for m, r in zip((first, second), rows, strict=True)
    ]
    found = gather_all(asked, choices, 7)
    for (fold, seen), some in zip(asked, (slice(0, 5), slice(5, 10)), strict=True):
        wanted = gather(*fold, seen, choices, 7)
        for name in ("inside", "relevant", "best"):
            assert np.array_equal(getattr(found, name)[some], getattr(wanted, name))
        for part in (0, 1):
            assert np.array_equal(found.scores[part][some], wanted.scores[part])
            for mine, theirs in zip(found.sums[part], wanted.sums[part], strict=True):
                assert np.array_equal(mine.top[some], theirs.top)
                assert np.array_equal(mine.total[some], theirs.total)


def test_stacking_prefers_the_accurate_part() -> None:
    for order in ((GRAPH, POPULAR), (POPULAR, GRAPH)):
        folds = []
        for half in (0, 1):
            users = np.arange(half, N_USERS, 2)
            rows = HeldOutUsers(DATA.histories.select(users), TARGETS.select(users), N_ITEMS)
            others = DATA.take(DATA.user_of_each() % 2 != half)
            folds.append(StackingFold(blend(*order).fit(others).parts, rows))
        nobody = Histories.from_rows([])
        folds.append(StackingFold(folds[0].parts, HeldOutUsers(nobody, nobody, N_ITEMS)))
        model = blend(*order)
        model.weigh_on(folds)
        weights = {part.model: part.weight for part in model.config.parts}
        assert weights["item_graph"] > 0.8


def test_histories_are_truncated_to_their_last_events() -> None:
    rows = HeldOutUsers(
        Histories.from_rows([[1], [1, 2], [1, 2, 3], [1, 2, 3, 4, 5, 6, 7]]),
        Histories.from_rows([[9], [8], [7], [6]]),
        10,
    )
    rng = np.random.default_rng(0)
    short, whole = shortened(rows, 2, 3, rng)
    assert [short.histories.row(u).tolist() for u in range(3)] == [[1, 2], [2, 3], [6, 7]]
    assert whole.row(2).tolist() == [1, 2, 3, 4, 5, 6, 7]
    assert short.truth.items.tolist() == [8, 7, 6]
    short, _ = shortened(rows, 0, 2, rng)
    assert [short.histories.row(u).tolist() for u in range(4)] == [[1], [2], [3], [7]]
    short, _ = shortened(rows, 3, 6, rng)
    assert len(short.histories.row(0)) == 3
    assert 3 <= len(short.histories.row(1)) <= 5
    short, _ = shortened(rows, 6, None, rng)
    assert [short.histories.row(u).tolist() for u in range(1)] == [[1, 2, 3, 4, 5, 6, 7]]


def test_settings_out_of_bounds_are_rejected() -> None:
    with pytest.raises(InvalidInput, match="one of share, softmax"):
        BlendPart(model="popularity", normaliser="rank")
    with pytest.raises(InvalidInput, match="temperature is 0"):
        BlendPart(model="popularity", temperature=0.0)
    with pytest.raises(InvalidInput, match="must be at least 0"):
        BlendPart(model="popularity", weights=(1.0, -1.0))
    with pytest.raises(InvalidInput, match="has 2 weights for 4 lengths"):
        blend(BlendPart(model="popularity", weights=(1.0, 1.0)))
    with pytest.raises(InvalidInput, match="all weights are 0"):
        blend(BlendPart(model="popularity", weights=(1.0, 1.0, 0.0, 1.0)))
    with pytest.raises(InvalidInput, match="must begin with 0 and be strictly increasing"):
        BlendConfig(at_least=(1, 2))
    with pytest.raises(InvalidInput, match="learns from ratings"):
        blend(BlendPart(model="svd"))
