"""Comparison with simple models: which model is used, and what the metrics contain."""

import dataclasses

import numpy as np
import pyarrow as pa
import pytest

import nearline as nl
from nearline.common.progress import no_progress
from nearline.config import BEST, BEST_FOR_SETS, BEST_MODEL, Config, for_order
from nearline.data import Dataset, Histories, make_dataset, read_interactions, set_split
from nearline.evaluation import Report
from nearline.models.item_graph.config import ItemGraphConfig
from nearline.models.item_graph.model import ItemGraph
from nearline.models.popularity import Popularity
from nearline.training import train
from nearline.training.members import never_worse, significantly_better

SIMPLE = {f"validation_ndcg@10_{name}" for name in ("popularity", "item_knn", "rp3beta")}


def groups(n_users: int = 200, seed: int = 0) -> Dataset:
    """Users of four groups, each with six of the ten items of the group; no times."""
    rng = np.random.default_rng(seed)
    items = [f"i{u % 4}-{i}" for u in range(n_users) for i in rng.permutation(10)[:6]]
    users = [f"u{u}" for u in range(n_users) for _ in range(6)]
    return make_dataset(read_interactions(pa.table({"user_id": users, "item_id": items})))


def compared(model: ItemGraph, data: Dataset, truth: Histories) -> tuple[str, dict[str, float]]:
    chosen, metrics = never_worse(
        model, data, truth, seed=0, exclude_seen=True, progress=no_progress
    )
    return chosen.name, metrics


def test_a_model_that_is_not_worse_is_kept() -> None:
    split = set_split(groups(), 0.1)
    model = ItemGraph().fit(split.train)
    name, metrics = compared(model, split.train, split.test)
    assert name == "item_graph"
    assert metrics.keys() == SIMPLE
    assert metrics["validation_ndcg@10_rp3beta"] > metrics["validation_ndcg@10_popularity"]


def test_a_model_that_is_worse_is_replaced_or_blended() -> None:
    """A graph without any edge between items cannot rank."""
    split = set_split(groups(), 0.1)
    useless = ItemGraphConfig.from_builtins({"coengagement": {"weight": 0.0}, "scales": {}})
    model = ItemGraph(useless).fit(split.train)
    chosen, metrics = never_worse(
        model, split.train, split.test, seed=0, exclude_seen=True, progress=no_progress
    )
    assert chosen.name in {"blend", "rp3beta", "item_knn"}
    found = chosen.recommend_from(split.train.histories, 10).items
    own_group = [
        split.train.item_ids[i].startswith(f"i{int(user[1:]) % 4}-")
        for user, row in zip(split.train.user_ids, found, strict=True)
        for i in row[:3]
    ]
    assert np.mean(own_group) > 0.9
    assert metrics.keys() == SIMPLE
    again = chosen.refit(split.train)
    assert np.array_equal(again.recommend_from(split.train.histories, 10).items, found)


def test_trending_needs_times() -> None:
    split = set_split(groups(), 0.1)
    timed = dataclasses.replace(split.train, order="times")
    _, metrics = compared(ItemGraph().fit(timed), timed, split.test)
    assert metrics.keys() == SIMPLE | {"validation_ndcg@10_trending"}


def walks(n: int = 400, seed: int = 0) -> pa.Table:
    """Sessions that walk two steps on a circle of 40 items, and often return to their start."""
    rng = np.random.default_rng(seed)
    starts, returns = rng.integers(0, 40, n), rng.random(n) < 0.5
    rows = [
        [s, (s + 1) % 40, (s + 2) % 40, s if back else (s + 3) % 40]
        for s, back in zip(starts.tolist(), returns.tolist(), strict=True)
    ]
    return pa.table(
        {
            "user_id": [f"u{u}" for u, row in enumerate(rows) for _ in row],
            "item_id": [f"i{item}" for row in rows for item in row],
            "timestamp": [float(place) for row in rows for place in range(len(row))],
        }
    )


def test_session_neighbours_are_compared_for_sessions() -> None:
    """Lists that leave out seen items could not hold half of the targets."""
    with nl.Recommender() as rec:
        rec.fit(walks())
        assert rec.metrics.keys() > {"validation_ndcg@10_session_knn", "repeats_found"}
        assert "validation_unreachable" not in rec.metrics
        assert rec.metrics["repeats_found"] == 1.0
        assert rec.metrics["validation_ndcg@10_session_knn"] > 0.5
        (chosen,) = rec.training_summary[1:]
        assert "session_knn" in chosen.split(", with", 1)[0]
        best = rec.recommend("u0", k=1, repeats="include")
        assert len(best) == 1


def test_few_users_are_not_compared() -> None:
    split = set_split(groups(60), 0.1)
    assert compared(ItemGraph().fit(split.train), split.train, split.test) == ("item_graph", {})


@pytest.mark.parametrize(("lead", "expected"), [(0.1, True), (0.001, False), (-0.1, False)])
def test_significance(lead: float, expected: bool) -> None:
    values = np.random.default_rng(0).random(500)
    noise = np.random.default_rng(1).normal(scale=0.1, size=500)
    assert significantly_better(values + lead + noise - noise.mean(), values, 0) is expected


def test_training_reports_regime_and_choice() -> None:
    data = groups()
    users = np.repeat(np.array(data.user_ids), np.diff(data.histories.indptr))
    items = np.array(data.item_ids)[data.histories.items]
    with nl.Recommender() as rec:
        assert rec.training_summary == []
        rec.fit(pa.table({"user_id": users, "item_id": items}))
        first, second = rec.training_summary
        assert "no order" in first
        assert second.startswith("Chosen: item_graph, with an NDCG@10 of ")
        assert rec.metrics.keys() > SIMPLE
        for name in ("popularity", "item_knn", "rp3beta"):
            assert f"{name} {rec.metrics[f'validation_ndcg@10_{name}']:.4f}" in second


def test_the_preset_best_depends_on_the_order() -> None:
    best = Config(model=BEST_MODEL, settings=BEST)
    assert for_order(best, "times", 50) is best
    assert for_order(Config(), "none", 50) == Config()
    large = for_order(best, "none", 1_000_000)
    assert large.settings == BEST_FOR_SETS
    parts = [part["model"] for part in for_order(best, "none", 50).settings["parts"]]
    assert parts == ["item_graph", "implicit_als", "spectral_filter", "popularity", "ease"]
    large.new_model()
    parts = [part["model"] for part in for_order(best, "times", 9, sessions=True).settings["parts"]]
    assert parts == ["item_graph", "sasrec", "popularity", "session_knn"]
    assert for_order(Config(), "times", 9, sessions=True) == Config()


def test_metrics_of_many_users_are_means_of_a_sample(monkeypatch: pytest.MonkeyPatch) -> None:
    split = set_split(groups(), 0.1)
    model = Popularity().fit(split.train)

    def report() -> Report:
        return train._report(model, split.train, split.test, 0, exclude_seen=True)

    everyone = report()
    monkeypatch.setattr(train, "MOST_MEASURED", 50)
    first, again = report(), report()
    assert (everyone.n_users, first.n_users) == (200, 50)
    assert first.means == again.means
