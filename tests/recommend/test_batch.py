"""Lists for everyone: equal to one by one, in bounded memory, on all cores."""

import threading
import tracemalloc
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest

import nearline as nl
from nearline.data import make_dataset, synthetic_shop
from nearline.kernels import scoring
from nearline.kernels.chunks import map_chunks
from nearline.models.item_graph.model import ItemGraph
from nearline.recommend import batch

K = 5


def shop() -> pa.Table:
    return synthetic_shop(users=300, items=60, events=3_000, seed=0).interactions


@pytest.fixture(scope="module")
def rec() -> Iterator[nl.Recommender]:
    config = nl.Config(settings={"search": {"evaluations": 0}})
    with nl.Recommender(config=config, clock=lambda: 1.75e9) as engine:
        yield engine.fit(shop())


def lines_of(frame: pa.Table, user: str) -> list[tuple[str, float, int]]:
    rows = frame.filter(pa.compute.equal(frame["user_id"], user))
    columns = (rows[name].to_pylist() for name in ("item_id", "score", "rank"))
    return list(zip(*columns, strict=True))


@pytest.mark.parametrize("block", [7, 4_096])
@pytest.mark.parametrize("exclude_seen", [True, False])
def test_everyone_gets_what_each_gets_alone(
    rec: nl.Recommender, monkeypatch: pytest.MonkeyPatch, block: int, exclude_seen: bool
) -> None:
    monkeypatch.setattr(batch, "BLOCK", block)
    told: list[tuple[int, int, str]] = []
    frame = rec.recommend_many(
        k=K, exclude_seen=exclude_seen, progress=lambda *step: told.append(step)
    )
    users = frame["user_id"].unique().to_pylist()
    assert len(users) == rec.n_users == 300
    assert told[-1] == (300, 300, "users")
    assert len(told) == -(-300 // block)
    for user in users[::29]:
        alone = rec.recommend(user, K, exclude_seen=exclude_seen)
        assert [line.item_id for line in alone] == [item for item, _, _ in lines_of(frame, user)]
        scores = [score for _, score, _ in lines_of(frame, user)]
        assert scores == pytest.approx([line.score for line in alone], rel=1e-6)
        assert [rank for _, _, rank in lines_of(frame, user)] == list(range(1, K + 1))


def test_everyone_in_the_histories_given(rec: nl.Recommender) -> None:
    given = pa.table({"user_id": ["new", "u1", "new"], "item_id": ["i1", "i2", "i3"]})
    frame = rec.recommend_many(k=K, histories=given)
    assert frame["user_id"].unique().to_pylist() == ["new", "u1"]
    named = rec.recommend_many(["new", "u1"], K, given)
    assert frame.equals(named)


def test_who_was_forgotten_is_not_everyone() -> None:
    with nl.Recommender(clock=lambda: 1e9) as engine:
        assert engine.recommend_many(k=K).num_rows == 0
        for user in ("a", "b", "c"):
            engine.observe(user, "x")
            engine.observe(user, "y")
        engine.forget("b").result()
        frame = engine.recommend_many(k=K, exclude_seen=False)
        assert frame["user_id"].to_pylist() == ["a", "a", "c", "c"]


@pytest.mark.parametrize(
    ("make", "kind"),
    [(pa.Table.to_pandas, pd.DataFrame), (pl.from_arrow, pl.DataFrame), (lambda t: t, pa.Table)],
)
def test_blocks_join_in_the_library_of_the_data(
    rec: nl.Recommender,
    monkeypatch: pytest.MonkeyPatch,
    make: Callable[[pa.Table], Any],
    kind: type[Any],
) -> None:
    monkeypatch.setattr(batch, "BLOCK", 2)
    given = pa.table({"user_id": list("abcde"), "item_id": ["i1"] * 5})
    frame = rec.recommend_many(k=2, histories=make(given))
    assert isinstance(frame, kind)
    assert [str(user) for user in frame["user_id"]] == list("aabbccddee")


def scratch_of(rec: nl.Recommender, n_users: int) -> int:
    """Bytes held at the worst moment beside the ids that go in and the lists that come out."""
    users = [f"u{at % 300}" for at in range(n_users)]
    rec.recommend_many(users[:100], K)
    tracemalloc.start()
    try:
        frame = rec.recommend_many(users, K)
        kept, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert frame.num_rows == n_users * K
    return peak - kept


def test_memory_beside_the_answer_does_not_grow_with_the_users(
    rec: nl.Recommender, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(batch, "BLOCK", 512)
    few, many = scratch_of(rec, 4 * 512), scratch_of(rec, 32 * 512)
    # Eight bytes a user for the list of ids; a block of lists takes 60 a user, and more to make.
    assert many - few < (8 + 8) * 28 * 512


def test_two_threads_score_a_block_at_the_same_time(monkeypatch: pytest.MonkeyPatch) -> None:
    data = make_dataset(shop())
    model, histories = ItemGraph().fit(data), data.histories
    alone = model.recommend_from(histories, K)
    both = threading.Barrier(2)
    met = threading.Event()

    def on_two(work: Callable[[int, int], None], n_rows: int, **options: Any) -> list[None]:
        def meeting(first: int, last: int) -> None:
            if not met.is_set():
                both.wait(timeout=120.0)  # breaks where nobody else is at work
                met.set()
            work(first, last)

        return map_chunks(meeting, n_rows, **{**options, "threads": 2})

    monkeypatch.setattr(scoring, "map_chunks", on_two)
    together = model.recommend_from(histories, K)
    assert met.is_set()
    assert np.array_equal(alone.items, together.items)
    assert np.array_equal(alone.scores, together.scores)
