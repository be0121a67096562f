"""A blend of models that score few items gives the lists that the scores of all items give."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.models.test_blend import DATA

from nearline.data import Histories
from nearline.kernels.sparse_mix import MixedParts, mix_row
from nearline.models.capabilities import ScoresSparsely
from nearline.models.hybrids import sparse_rows
from nearline.models.hybrids.blend import Blend, BlendConfig, BlendPart
from nearline.models.hybrids.normalisers import Normaliser, normalised

HOWS = [Normaliser("share"), Normaliser("softmax", 0.05), Normaliser("softmax", 2.0)]


Scores = dict[int, float]


def scores_below(size: int) -> st.SearchStrategy[Scores]:
    return st.dictionaries(st.integers(0, size - 1), st.floats(-3, 3, width=32), max_size=size)


@given(
    st.lists(
        st.tuples(scores_below(11), st.sampled_from(HOWS), st.floats(0.1, 2), st.integers(12, 15)),
        min_size=1,
        max_size=3,
    ),
    st.sets(st.integers(0, 14)),
    st.none() | st.lists(st.booleans(), max_size=15),
)
@settings(deadline=None)
def test_kernel_lists_what_a_mixture_over_all_items_lists(
    parts: list[tuple[Scores, Normaliser, float, int]],
    seen: set[int],
    allowed: list[bool] | None,
) -> None:
    sizes = [size for _, _, _, size in parts]
    total, others = np.zeros(max(sizes)), np.zeros(max(sizes))
    for scores, how, weight, size in parts:
        dense = np.zeros((1, size), dtype=np.float32)
        dense[0, list(scores)] = list(scores.values())
        row = normalised(dense, how)[0]
        total[:size] += weight * row
        others[:size] += weight * row[min(set(range(size)) - set(scores))]
    found = mix_row(
        [
            (np.array(list(s), dtype=np.int32), np.array(list(s.values()), dtype=np.float32))
            for s, _, _, _ in parts
        ],
        MixedParts(
            np.array([weight for _, _, weight, _ in parts]),
            np.array([how.name == "softmax" for _, how, _, _ in parts]),
            np.array([how.temperature for _, how, _, _ in parts]),
            np.array(sizes),
        ),
        4,
        seen=np.array(sorted(seen), dtype=np.int32),
        allowed=None if allowed is None else np.array(allowed, dtype=np.bool_),
    )
    listed = found.items[0][found.items[0] >= 0].tolist()
    able = {
        item
        for scores, _, _, _ in parts
        for item in scores
        if item not in seen and (allowed is None or (item < len(allowed) and allowed[item]))
    }
    better = sorted((-total[item], item) for item in able if total[item] > others[item] + 1e-6)
    assert set(listed) <= able
    assert len(listed) >= min(4, len(better))
    np.testing.assert_allclose(found.scores[0, : len(listed)], total[listed], rtol=1e-4, atol=1e-6)
    for score, (best, _) in zip(total[listed], better, strict=False):
        assert score == pytest.approx(-best, rel=1e-4, abs=1e-6)


def blend(how: Normaliser, weight: float) -> Blend:
    parts = (
        BlendPart(model="item_graph", settings={"search": {"evaluations": 0}}),
        BlendPart(
            model="item_knn", weight=weight, normaliser=how.name, temperature=how.temperature
        ),
    )
    return Blend(BlendConfig(parts=parts)).fit(DATA)


def sparse_parts(model: Blend) -> list[ScoresSparsely]:
    return [part for part in model.parts if isinstance(part, ScoresSparsely)]


@pytest.mark.parametrize("how", HOWS)
@pytest.mark.parametrize("exclude_seen", [True, False])
def test_lists_are_the_best_of_all_scores(how: Normaliser, exclude_seen: bool) -> None:
    model = blend(how, 0.7)
    histories = DATA.histories
    allowed = np.arange(model.n_items) % 7 != 3
    found = model.recommend_from(histories, 10, exclude_seen=exclude_seen, allowed=allowed)
    dense = model.score_many(histories)
    for user in range(len(histories)):
        row = slice(histories.indptr[user], histories.indptr[user + 1])
        one = histories.select(np.array([user]))
        scored = np.union1d(*(part.score_sparse(one).items for part in sparse_parts(model)))
        able = set(scored[allowed[scored]].tolist())
        if exclude_seen:
            able -= set(histories.items[row].tolist())
        order = sorted(able, key=lambda item: (-dense[user, item], item))
        listed = found.items[user][found.items[user] >= 0]
        assert set(listed.tolist()) <= able
        # Equal up to the rounding of the last bit, which may swap neighbours.
        np.testing.assert_allclose(
            dense[user, listed], dense[user, order[: len(listed)]], rtol=1e-5, atol=1e-9
        )
        np.testing.assert_allclose(
            found.scores[user, : len(listed)], dense[user, listed], rtol=1e-5, atol=1e-9
        )


def test_items_that_no_part_scores_are_not_listed() -> None:
    model = blend(Normaliser("softmax", 1.0), 0.5)
    found = model.recommend_from(Histories.from_rows([[]]), 5)
    assert (found.items == -1).all()


def test_a_row_of_a_block_is_the_list_of_one_user() -> None:
    model = blend(HOWS[1], 0.7)
    block = model.recommend_from(DATA.histories, 8)
    for user in range(0, len(DATA.histories), 7):
        one = model.recommend_from(DATA.histories.select(np.array([user])), 8)
        np.testing.assert_array_equal(one.items[0], block.items[user])
        np.testing.assert_array_equal(one.scores[0], block.scores[user])


def test_blocks_of_rows_do_not_change_lists(monkeypatch: pytest.MonkeyPatch) -> None:
    model = blend(HOWS[2], 0.7)
    whole = model.recommend_from(DATA.histories, 8)
    monkeypatch.setattr(sparse_rows, "BLOCK_BYTES", 4 * model.n_items * 3)
    parts = model.recommend_from(DATA.histories, 8)
    np.testing.assert_array_equal(whole.items, parts.items)
    np.testing.assert_array_equal(whole.scores, parts.scores)
