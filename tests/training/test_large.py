"""Training on much data: samples of users, kept and spilled counts, time limits."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import nearline as nl
from nearline.common import spill
from nearline.common.budget import divided
from nearline.common.progress import LimitedProgress, is_over, limited, no_progress
from nearline.data import Dataset, Histories, make_dataset, read_interactions
from nearline.kernels.edges import Rows, pair_edges, steps_of
from nearline.kernels.kept_pairs import keep_pairs, kept_edges, most_pairs
from nearline.models.hybrids.blend import Blend, BlendConfig, BlendPart
from nearline.models.item_graph import relations
from nearline.models.item_graph.config import ItemGraphConfig
from nearline.models.item_graph.model import ItemGraph
from nearline.training import sample
from nearline.training.sample import sample_of_users, unscaled


def events(seed: int = 0, users: int = 150, items: int = 40, n: int = 1_500) -> pa.Table:
    rng = np.random.default_rng(seed)
    user = rng.integers(users, size=n)
    item = (user % 4 * 10 + rng.integers(10, size=n)) % items
    times = 1.7e9 + rng.permutation(n) * 60.0
    return pa.table(
        {
            "user_id": [f"u{one}" for one in user],
            "item_id": [f"i{one}" for one in item],
            "timestamp": times,
        }
    )


ROWS = st.lists(st.lists(st.integers(-1, 7), max_size=9), max_size=8)


@settings(deadline=None)
@given(rows=ROWS, reach=st.integers(1, 4), seed=st.integers(0, 9), top_k=st.integers(1, 8))
def test_kept_pairs_give_the_edges_of_one_pass(
    rows: list[list[int]], reach: int, seed: int, top_k: int
) -> None:
    rng = np.random.default_rng(seed)
    histories = Histories.from_rows(rows)
    weights = rng.integers(0, 3, size=len(histories.items)).astype(np.float32)
    given_rows = Rows(histories.indptr, histories.items, weights)
    steps = steps_of(rng.random(reach), rng.random(reach))
    source, target = rng.random(8) + 0.1, rng.random(8) + 0.1
    kept = keep_pairs(given_rows, steps, 8)
    for offset in (0.0, 1.0):
        once = pair_edges(
            given_rows, steps, source=source, target=target, offset=offset, top_k=top_k
        )
        again = kept_edges(kept, source, target, offset=offset, top_k=top_k)
        np.testing.assert_array_equal(once.indptr, again.indptr)
        for row in range(8):
            edges = slice(once.indptr[row], once.indptr[row + 1])
            assert edges_in(once, edges) == edges_in(again, edges)
    assert sum(len(part.items) for part in kept) <= most_pairs(given_rows, reach, 8)


def edges_in(rows: Rows, edges: slice) -> dict[int, float]:
    return dict(zip(rows.items[edges].tolist(), rows.weights[edges].tolist(), strict=True))


def fitted_arrays(data: Dataset, config: ItemGraphConfig) -> dict[str, bytes]:
    model = ItemGraph(config).fit(data)
    return {name: array.tobytes() for name, array in model.arrays().items()}


def test_the_memory_bound_does_not_change_the_model(monkeypatch: pytest.MonkeyPatch) -> None:
    data = make_dataset(read_interactions(events()))
    whole = fitted_arrays(data, ItemGraphConfig())
    for limit in (1, 300 * 48, 10_000):
        monkeypatch.setattr("nearline.models.item_graph.counting.spill_limit", lambda n=limit: n)
        assert fitted_arrays(data, ItemGraphConfig()) == whole


def test_the_limit_follows_from_the_budget() -> None:
    with spill.memory_limited(4_000_000_000):
        assert spill.spill_limit() == 2_000_000_000 // spill.SHARE
    assert spill.spill_limit() == divided(None).job // spill.SHARE


def test_an_array_in_a_file_is_the_same() -> None:
    array = spill.SpilledArray(np.int64)
    array.append(np.arange(5))
    array.append(np.arange(5, 9))
    assert array.finish().tolist() == list(range(9))
    assert len(spill.SpilledArray(np.int32).finish()) == 0


def test_a_search_that_keeps_counts_finds_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    table = events(n=2_500)
    found = []
    for most in (relations.MOST_KEPT, 0):
        monkeypatch.setattr(relations, "MOST_KEPT", most)
        config = nl.Config(settings={"search": {"evaluations": 25}})
        found.append(nl.Recommender(config=config).fit(table).metrics)
    assert found[0] == found[1]


def test_a_sample_has_whole_users() -> None:
    data = make_dataset(read_interactions(events()))
    part = sample_of_users(data, 500)
    assert part.n_interactions <= 500 < part.n_interactions + 40
    assert part.item_ids == data.item_ids
    index = {name: row for row, name in enumerate(data.user_ids)}
    for row, name in enumerate(part.user_ids):
        assert part.histories.row(row).tolist() == data.histories.row(index[name]).tolist()
    assert sample_of_users(data, data.n_interactions) is data


def test_a_sample_does_not_depend_on_the_order_of_the_log() -> None:
    table = events()
    shuffled = table.take(pa.array(np.random.default_rng(1).permutation(table.num_rows)))
    users = [
        set(sample_of_users(make_dataset(read_interactions(one)), 500).user_ids)
        for one in (table, shuffled)
    ]
    assert users[0] == users[1]


def test_training_on_a_sample_includes_everything(monkeypatch: pytest.MonkeyPatch) -> None:
    table = events(users=600, n=4_000)
    monkeypatch.setattr(sample, "SAMPLE_INTERACTIONS", 2_000)
    monkeypatch.setattr(sample.sample_of_users, "__defaults__", (2_000,))
    config = nl.Config(settings={"search": {"evaluations": 4}})
    rec = nl.Recommender(config=config).fit(table)
    assert 0.3 < rec.metrics["validation_sample"] < 0.7
    assert any("sample of" in line for line in rec.training_summary)
    model = rec._current.deployment.model
    parts = model.parts if isinstance(model, Blend) else [model]
    graph = next(part for part in parts if isinstance(part, ItemGraph))
    # Every event is counted, and the relations have equal sums of edges.
    assert graph._items.popularity.sum() * 2.0**-30 == pytest.approx(4_000, rel=0.01)


def test_scales_are_left_out_in_parts_too() -> None:
    graph = ItemGraph(ItemGraphConfig(scales={"content": 2.0}))
    assert unscaled(graph).config == ItemGraphConfig()
    part = BlendPart(model="item_graph", settings={"scales": {"content": 2.0}, "max_history": 7})
    blend = unscaled(Blend(BlendConfig(parts=(part,))))
    assert blend.config.parts[0].settings == {"max_history": 7}


def test_a_time_limit() -> None:
    now = [0.0]
    seen: list[tuple[int, int, str]] = []
    progress = LimitedProgress(lambda *step: seen.append(step), 5.0, lambda: now[0])
    progress(1, 2, "step")
    assert (seen, is_over(progress)) == ([(1, 2, "step")], False)
    now[0] = 5.0
    assert is_over(progress)
    assert not is_over(no_progress)
    assert limited(no_progress, None) is no_progress


def test_without_time_the_first_settings_are_used(tmp_path: Path) -> None:
    config = nl.Config(search_seconds=0.0)
    with nl.Recommender(tmp_path / "shop", config=config) as rec:
        rec.fit(events())
        assert "validation_ndcg@10" in rec.metrics
        assert "validation_ndcg@10_rp3beta" not in rec.metrics
