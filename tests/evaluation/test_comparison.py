"""Models side by side: values by hand, who is left out, what the search may see."""

import json
from typing import Any

import msgspec
import numpy as np
import pytest
from tests.models.synthetic import shop

from nearline.data import Dataset, Histories, Split, leave_one_out
from nearline.errors import InvalidInput, MissingExtra
from nearline.evaluation.comparison import Comparison, compare_models
from nearline.evaluation.comparison_tables import list_rows
from nearline.evaluation.fitting import data_for
from nearline.models.base import Model
from nearline.models.factors.svd import Svd
from nearline.models.popularity import Popularity, Trending, TrendingConfig
from nearline.models.registry import make_model

K = 2


def by_hand() -> Split:
    """Items 0 to 3, liked 3, 2, 1 and 1 times in training; each of four users wants one more."""
    train = Histories.from_rows([[0, 1], [0, 2], [0, 1], [3]])
    data = Dataset(list("abcd"), list("wxyz"), train, np.full(7, np.nan, dtype=np.float32))
    return Split(data, Histories.from_rows([[2], [1], [3], []]))


class Clock:
    """A second later at every look."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        self.now += 1.0
        return self.now


@pytest.fixture(scope="module")
def found() -> Comparison:
    """Popularity beside a model that wants ratings and one that nobody needs to like."""
    models: list[Model] = [Trending(TrendingConfig(half_life=1.0)), Popularity(), Svd()]
    return compare_models(models, by_hand(), k=K, wall=Clock(), cpu=Clock())


def test_accuracy_equals_values_computed_by_hand(found: Comparison) -> None:
    popularity = next(entry for entry in found.entries if entry.model == "popularity")
    # Lists, seen items left out: [2, 3], [1, 3], [2, 3]; the third user finds item 3 at place 2.
    assert popularity.report.means["recall@2"] == 1.0
    assert popularity.report.means["ndcg@2"] == pytest.approx((2 + 1 / np.log2(3)) / 3)
    assert popularity.report.n_users == 3


def test_entries_are_sorted_and_have_the_difference_to_the_best(found: Comparison) -> None:
    values = [entry.report.means[found.metric] for entry in found.entries]
    assert found.metric == "ndcg@2"
    assert values == sorted(values, reverse=True)
    best, other = found.entries
    assert best.behind is None
    assert other.behind is not None
    assert other.behind.mean == pytest.approx(values[1] - values[0])


def test_costs_are_counted(found: Comparison) -> None:
    for entry in found.entries:
        assert (entry.fit.wall_s, entry.fit.cpu_s) == (1.0, 1.0)
        assert entry.tuning_s == 0.0
        assert (entry.answers.median_s, entry.answers.p99_s) == (1.0, 1.0)
        assert entry.batch_s == pytest.approx(1 / 3)  # one call for three users
        assert entry.array_bytes == 4 * 8


def test_models_that_fail_are_reported_with_the_reason(found: Comparison) -> None:
    assert found.left_out == {"svd": "svd needs ratings; 0 of 7 interactions have a value"}
    with pytest.raises(InvalidInput, match="svd needs ratings"):
        compare_models([Popularity(), Svd()], by_hand(), k=K, required=["svd"])
    with pytest.raises(InvalidInput, match="no model to compare: svd: svd needs ratings"):
        compare_models([Svd()], by_hand(), k=K)
    with pytest.raises(InvalidInput, match="none was given"):
        compare_models([], by_hand())


class NeedsMore(Popularity):
    """Needs a package that is not there."""

    def fit(self, data: Dataset, **options: object) -> "NeedsMore":
        raise MissingExtra("needs oracle: pip install 'nearline[oracle]'")


def test_a_missing_extra_is_reported_as_a_reason() -> None:
    left = compare_models([Trending(), NeedsMore()], by_hand(), k=K).left_out
    assert left == {"popularity": "needs oracle: pip install 'nearline[oracle]'"}


def test_nothing_held_out_is_an_error_of_every_model() -> None:
    nothing = Split(by_hand().train, Histories.from_rows([[], [], [], []]))
    with pytest.raises(InvalidInput, match="none of 4 users has a relevant item"):
        compare_models([Popularity()], nothing)


def test_the_search_uses_only_the_training_part_and_its_result_is_fitted() -> None:
    split = by_hand()
    seen: list[tuple[str, Dataset]] = []

    def tune(model: Model, data: Dataset) -> Model:
        seen.append((model.name, data))
        return Trending(TrendingConfig(half_life=5.0))

    entry = compare_models([Trending()], split, k=K, tune=tune, wall=Clock()).entries[0]
    assert seen == [("trending", split.train)]
    assert entry.settings == {"half_life": 5.0}
    assert entry.tuning_s == 1.0


def test_only_rating_models_get_ratings() -> None:
    data, _ = shop()
    assert data_for(Popularity(), data) is data
    given = data_for(Svd(), data)
    assert np.array_equal(given.histories.weights, data.values)
    with pytest.raises(InvalidInput, match="0 of 0"):
        data_for(Svd(), data.take(np.zeros(data.n_interactions, dtype=np.bool_)))


def test_real_models_on_a_shop() -> None:
    told: list[tuple[int, int, str]] = []
    data, _ = shop()
    graph = make_model("item_graph", {"search": {"evaluations": 3}})
    models = [Popularity(), graph, Svd()]
    found = compare_models(
        models, leave_one_out(data), seed=1, progress=lambda *step: told.append(step)
    )
    assert found.entries[0].model == "item_graph"
    assert found.left_out == {}
    assert {name for _, _, name in told} == {"popularity", "item_graph", "svd"}
    again = compare_models(models, leave_one_out(data), seed=1)
    for one, two in zip(found.entries, again.entries, strict=True):
        assert (one.report, one.behind, one.settings) == (two.report, two.behind, two.settings)


def test_as_json_and_as_tables(found: Comparison) -> None:
    plain: list[dict[str, Any]] = json.loads(
        msgspec.json.encode([entry.as_dict() for entry in found.entries])
    )
    assert plain[0]["behind_the_best"] is None
    assert plain[1]["behind_the_best"].keys() == {"mean", "low", "high"}
    assert plain[0]["fit"].keys() == {"wall_s", "cpu_s", "peak_bytes"}
    assert plain[0]["answer"] == {"median_s": 1.0, "p99_s": 1.0}
    accuracy, cost = list_rows(found)
    assert accuracy[0][:4] == ["model", "ndcg@2", "behind the best", "recall@2"]
    assert {len(row) for row in accuracy} == {len(accuracy[0])}
    assert {len(row) for row in cost} == {len(cost[0])}
    best = found.entries[0]
    assert accuracy[1][:2][0] == best.model
    assert accuracy[1][1].startswith(f"{best.report.means['ndcg@2']:.4f} [")
    assert cost[1][2:4] == ["1.000", "1.000"]
    assert cost[1][6:] == ["1000.000", "1000.000", "333.3333"]
