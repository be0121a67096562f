"""The line-up of all kinds of models, and the questions about the cold, by hand."""

from dataclasses import replace
from typing import Any, Self

import numpy as np
import pytest

from nearline.config import BEST, BEST_MODEL
from nearline.data import Dataset, Histories, Split
from nearline.evaluation.comparison import Contestant, Scenario, compare_models
from nearline.evaluation.comparison_tables import also_rows
from nearline.evaluation.lineup import (
    COLD_ITEMS,
    COLD_USERS,
    cold_scenarios,
    contestants,
    sample_test_users,
)
from nearline.models.popularity import Popularity
from nearline.models.registry import make_model


def by_hand() -> Split:
    """Item 0 has five events, item 1 four, item 2 one and item 3 none."""
    train = Histories.from_rows([[0, 1, 0, 1, 0], [1, 0], [0, 1], [2]])
    data = Dataset(list("abcd"), list("wxyz"), train, np.full(10, np.nan, dtype=np.float32))
    return Split(data, Histories.from_rows([[2], [3], [], [1]]))


def test_cold_users_are_known_by_three_events_and_cold_items_are_rare() -> None:
    asked = cold_scenarios(by_hand())
    users, items = asked[COLD_USERS], asked[COLD_ITEMS]
    rows = [users.histories.row(user).tolist() for user in range(4)]
    assert rows == [[0, 1, 0], [1, 0], [0, 1], [2]]
    assert [users.test.row(user).tolist() for user in range(4)] == [[2], [3], [], [1]]
    assert [items.test.row(user).tolist() for user in range(4)] == [[2], [3], [], []]
    assert [len(items.histories.row(user)) for user in range(4)] == [5, 2, 2, 1]


def test_a_scenario_without_held_out_items_is_omitted() -> None:
    split = replace(by_hand(), test=Histories.from_rows([[], [], [], [1]]))
    assert list(cold_scenarios(split)) == [COLD_USERS]


def test_the_limit_applies_to_test_users_and_not_to_training() -> None:
    split = by_hand()
    asked = sample_test_users(split, 2, seed=0)
    assert int((np.diff(asked.test.indptr) > 0).sum()) == 2
    assert len(asked.test) == 4
    assert asked.train.histories is split.train.histories
    assert np.array_equal(sample_test_users(split, 2, seed=0).test.items, asked.test.items)
    assert np.array_equal(sample_test_users(split, 99, seed=0).test.items, split.test.items)


def test_events_count_as_ratings_of_one_where_there_are_no_ratings() -> None:
    split = by_hand()
    assert sample_test_users(split, 9, seed=0).train.values.tolist() == [1.0] * 10
    values = np.full(10, np.nan, dtype=np.float32)
    values[3] = 4.0
    rated = replace(split, train=replace(split.train, values=values))
    assert sample_test_users(rated, 9, seed=0).train.values is values


def test_every_model_is_evaluated_in_every_scenario() -> None:
    split = by_hand()
    asked = {"as if new": Scenario(Histories.from_rows([[2], [1], [0], [0]]), split.test)}
    found = compare_models([Contestant("counts", Popularity())], split, k=2, also=asked)
    entry = found.entries[0]
    assert entry.model == "counts"
    # Lists, known items left out: [0, 1], [0, 2] and [1, 2]; the fourth user finds item 1 first.
    assert entry.also["as if new"].means["ndcg@2"] == pytest.approx(1 / 3)
    assert entry.as_dict()["also"]["as if new"]["n_users"] == 3
    (rows,) = also_rows(found)
    assert rows[0] == ["model", "as if new: ndcg@2"]
    assert rows[1][1].startswith("0.3333 [")
    assert rows[2] == ["users evaluated", "3"]
    assert also_rows(compare_models([Popularity()], split, k=2)) == []


class Seeing(Popularity):
    """Remembers which vector columns it was shown."""

    def fit(self, data: Dataset, **options: Any) -> Self:
        SEEN.append((sorted(data.vectors), data.encoder))
        return super().fit(data, **options)


SEEN: list[tuple[list[str], str]] = []


def test_vectors_are_hidden_from_models_that_must_not_use_them() -> None:
    split = by_hand()
    vectors = {"language": np.ones((4, 2), dtype=np.float32)}
    split = replace(split, train=replace(split.train, vectors=vectors, encoder="e"))
    SEEN.clear()
    compare_models([Contestant("blind", Seeing(), False), Contestant("all", Seeing())], split, k=2)
    assert ([], "") in SEEN
    assert (["language"], "e") in SEEN


def test_the_line_up_has_each_kind_once() -> None:
    found = contestants(make_model(BEST_MODEL, BEST))
    assert len({one.name for one in found}) == len(found) == 14
    kinds = {one.model.name for one in found}
    assert {"popularity", "user_knn", "item_knn", "svd", "implicit_als", "content"} <= kinds
    assert {"ncf", "two_tower", "gru4rec", "nextitnet", "sasrec", "item_graph", BEST_MODEL} <= kinds
    assert [one.vectors for one in found if one.model.name == "item_graph"] == [False, True]
