"""Models of ratings side by side, with errors that can be worked out by hand."""

from typing import Any, ClassVar

import numpy as np
import pytest
from msgspec import Struct
from numpy.typing import NDArray
from tests.models.synthetic import shop

from nearline.data import Dataset, Histories, Split, hold_out, random_folds
from nearline.errors import InvalidInput
from nearline.evaluation.comparison_tables import rating_rows
from nearline.evaluation.rating_comparison import compare_ratings
from nearline.models.factors.svdpp import Svdpp
from nearline.models.popularity import Popularity


class AlwaysConfig(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    rating: float = 3.0


class Always(Popularity):
    """Predicts one rating for everything."""

    name: ClassVar[str] = "always"
    config_type: ClassVar[type[Struct]] = AlwaysConfig
    needs_ratings: ClassVar[bool] = True

    def predict(self, users: NDArray[np.int32], items: NDArray[np.int32]) -> NDArray[np.float32]:
        return np.full(len(items), self.config.rating, dtype=np.float32)


class Other(Always):
    name: ClassVar[str] = "other"


def rated(rows: list[list[float]]) -> Dataset:
    """Row u: ratings of items 0, 1, ... by user u."""
    data = Dataset(
        [f"u{n}" for n in range(len(rows))],
        list("abc"),
        Histories.from_rows([list(range(len(row))) for row in rows]),
        np.array([value for row in rows for value in row], dtype=np.float32),
    )
    return data.rated()


def by_hand() -> Split:
    """Held out: 4 and 2 by the first user, 5 by the second."""
    data = rated([[3, 4, 2], [1, 5]])
    return hold_out(data, np.array([False, True, True, False, True]))


def test_errors_equal_values_computed_by_hand() -> None:
    found = compare_ratings([Always(AlwaysConfig(rating=4.0)), Other()], [by_hand()])
    assert found.metric == "rmse"
    first, second = found.entries
    # Errors of 4: 0, 2, -1. Errors of 3: -1, 1, -2.
    assert (first.model, second.model) == ("always", "other")
    assert first.n_ratings == 3
    assert first.rmse == pytest.approx(np.sqrt(5 / 3))
    assert first.mae == pytest.approx(1.0)
    assert second.rmse == pytest.approx(np.sqrt(6 / 3))
    assert second.mae == pytest.approx(4 / 3)
    # Users are drawn whole: the first alone, both, or the second alone.
    assert first.intervals["rmse"] == pytest.approx((1.0, np.sqrt(2)))
    assert first.intervals["mae"] == pytest.approx((1.0, 1.0))
    assert first.behind is None
    assert second.behind is not None
    assert second.behind.mean == pytest.approx(np.sqrt(2) - np.sqrt(5 / 3))
    # The first user alone: 1 - sqrt 2; the second alone: 2 - 1.
    assert second.behind[1:] == pytest.approx((1 - np.sqrt(2), 1.0))


def test_errors_of_all_folds_are_pooled() -> None:
    data = rated([[1, 2, 3], [4, 5, 3]])
    folds = list(random_folds(data, 3, np.random.default_rng(0)))
    entry = compare_ratings([Always()], folds).entries[0]
    assert entry.n_ratings == 6
    assert entry.rmse == pytest.approx(np.sqrt((4 + 1 + 0 + 1 + 4 + 0) / 6))
    assert entry.settings == [{"rating": 3.0}] * 3


def test_each_fold_is_tuned_on_its_own_training_part() -> None:
    data = rated([[1, 2, 3], [4, 5, 3]])
    folds = list(random_folds(data, 3, np.random.default_rng(0)))
    seen: list[Dataset] = []

    def tune(model: Any, part: Dataset) -> Always:
        seen.append(part)
        return Always(AlwaysConfig(rating=float(len(seen))))

    entry = compare_ratings([Always()], folds, tune=tune).entries[0]
    assert [part.n_interactions for part in seen] == [4, 4, 4]
    assert [settings["rating"] for settings in entry.settings] == [1.0, 2.0, 3.0]


def test_models_without_predictions_are_left_out() -> None:
    found = compare_ratings([Popularity(), Always()], [by_hand()])
    assert found.left_out == {"popularity": "popularity predicts no ratings"}
    with pytest.raises(InvalidInput, match="popularity predicts no ratings"):
        compare_ratings([Popularity(), Always()], [by_hand()], required=["popularity"])


@pytest.mark.parametrize("test", [Histories.from_rows([[], []]), by_hand().test])
def test_without_ratings_there_is_nothing_to_compare(test: Histories) -> None:
    test.weights[:] = np.nan
    with pytest.raises(InvalidInput, match="contain no ratings"):
        compare_ratings([Always()], [Split(by_hand().train, test)])


def test_a_real_model_has_a_lower_error_than_the_mean_rating() -> None:
    data = shop()[0].rated()
    told: list[tuple[int, int, str]] = []
    found = compare_ratings(
        [Always(AlwaysConfig(rating=float(data.values.mean()))), Svdpp()],
        random_folds(data, 2, np.random.default_rng(0)),
        progress=lambda *step: told.append(step),
    )
    assert [entry.model for entry in found.entries] == ["svdpp", "always"]
    best = found.entries[0]
    assert best.intervals["rmse"].low < best.rmse < best.intervals["rmse"].high
    assert told[-1] == (200, 200, "svdpp")
    assert best.as_dict()["means"] == {"rmse": best.rmse, "mae": best.mae}
    accuracy, cost = rating_rows(found)
    assert accuracy[0] == ["model", "rmse", "behind the best", "mae"]
    assert accuracy[1][0] == cost[1][0] == "svdpp"
    assert {len(row) for row in cost} == {len(cost[0])}
