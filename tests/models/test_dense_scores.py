"""Lists from dense scores: masks, bounds, ties, blocks."""

import numpy as np
import pytest

from nearline.data.dataset import FloatArray, Histories
from nearline.errors import InvalidInput
from nearline.models import dense_scores
from nearline.models.dense_scores import rank_dense

SCORES = np.array([3, 1, 3, -1, 2], dtype=np.float32)


def same_for_all(histories: Histories) -> FloatArray:
    return np.tile(SCORES, (len(histories), 1))


def listed(histories: Histories, k: int = 5, **options: object) -> list[list[int]]:
    settings = {"exclude_seen": True, "allowed": None} | options
    found = rank_dense(same_for_all, histories, k, 5, **settings)  # type: ignore[arg-type]
    lists: list[list[int]] = found.items.tolist()
    return lists


def test_by_hand() -> None:
    histories = Histories.from_rows([[], [0, -1, 9], [2, 4]])
    assert listed(histories) == [[0, 2, 4, 1, 3], [2, 4, 1, 3, -1], [0, 1, 3, -1, -1]]
    assert listed(histories, above=1.0, k=2) == [[0, 2], [2, 4], [0, -1]]
    assert listed(histories, exclude_seen=False, k=1) == [[0], [0], [0]]
    # A mask that is too short leaves the rest out.
    few = np.array([False, True, True])
    assert listed(histories, allowed=few, k=2) == [[2, 1], [2, 1], [1, -1]]


def test_blocks_do_not_change_the_result(monkeypatch: pytest.MonkeyPatch) -> None:
    histories = Histories.from_rows([[user % 5] for user in range(20)])
    whole = listed(histories)
    monkeypatch.setattr(dense_scores, "BLOCK_BYTES", 3 * 4 * 5)
    assert listed(histories) == whole


def test_items_that_are_learned_while_a_model_scores_are_left_out() -> None:
    histories = Histories.from_rows([[], [0, 2]])
    for allowed in (None, np.array([True, False, True])):
        found = rank_dense(same_for_all, histories, 2, 3, exclude_seen=True, allowed=allowed)
        assert found.items.tolist() == [[0, 2], [1, -1] if allowed is None else [-1, -1]]


def test_without_items_lists_are_empty() -> None:
    empty = rank_dense(
        same_for_all, Histories.from_rows([[]]), 2, 0, exclude_seen=True, allowed=None
    )
    assert empty.items.tolist() == [[-1, -1]]
    with pytest.raises(InvalidInput, match="k is 0"):
        listed(Histories.from_rows([[]]), k=0)
