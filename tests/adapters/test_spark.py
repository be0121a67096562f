"""Counting on Spark: equal, bit for bit, to counting in one process, for any partitions."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pytest

import nearline as nl
from nearline.adapters import spark
from nearline.adapters.spark import SparkCounter, events_of, partition_pairs, spark_session
from nearline.errors import InvalidInput
from nearline.kernels.edges import Rows, steps_of
from nearline.kernels.pair_counts import Counts, pair_counts
from nearline.models.item_graph.pair_counter import counted_by, counter
from nearline.testing.servers import require

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

N_ITEMS = 40
VERSION = spark._version()
STEPS = steps_of(np.array([1.0, 0.5, 0.3]), np.array([0.5, 0.25, 0.1]))
SHARES = np.array([1.0, 1.0, 0.5, 0.25])


def rows_of(n_users: int, seed: int = 0) -> Rows:
    rng = np.random.default_rng(seed)
    lengths = rng.integers(0, 30, n_users)
    items = rng.integers(-1, N_ITEMS, lengths.sum()).astype(np.int32)
    weights = rng.choice(np.array([0.0, 1.0, 2.0, 0.3], np.float32), len(items))
    return Rows(np.concatenate(([0], np.cumsum(lengths))).astype(np.int64), items, weights)


def summed(parts: list[pa.RecordBatch]) -> Counts:
    table = (
        pa.Table.from_batches(parts).group_by(["source", "target"]).aggregate([("units", "sum")])
    )
    return spark._counts(table.rename_columns(["source", "target", "units"]), N_ITEMS)


def assert_equal(found: Counts, expected: Counts) -> None:
    for name, array in expected._asdict().items():
        other = getattr(found, name)
        assert (other.dtype, other.tolist()) == (array.dtype, array.tolist()), name


@pytest.mark.parametrize("n_parts", [1, 2, 8])
def test_partitions_of_users_sum_to_the_whole(n_parts: int) -> None:
    """What a task computes, without Spark."""
    rows = rows_of(50)
    events = events_of(rows)
    parts: list[pa.RecordBatch] = []
    for part in range(n_parts):
        mine = events.filter(pa.array(events["user"].to_numpy() % n_parts == part))
        batches = mine.to_batches(max_chunksize=7)
        parts += partition_pairs(batches, STEPS, N_ITEMS, SHARES, VERSION)
    expected = pair_counts(rows, STEPS, N_ITEMS, most=N_ITEMS, shares=SHARES)
    assert len(expected.units) > 100
    assert_equal(summed(parts), expected)


def test_empty_partitions_and_other_versions() -> None:
    assert list(partition_pairs([], STEPS, N_ITEMS, SHARES, VERSION)) == []
    with pytest.raises(RuntimeError, match="install the same one"):
        list(partition_pairs([], STEPS, N_ITEMS, SHARES, "0.0.0"))


def test_wrong_use() -> None:
    with pytest.raises(InvalidInput, match="address of the cluster"), spark_session("http://host"):
        pass
    rec = nl.Recommender(config=nl.Config(model="ease"))
    with pytest.raises(InvalidInput, match="does not count pairs"):
        rec.fit(pa.table({"user_id": ["a"], "item_id": ["x"]}), on="local[1]")
    assert rec.offset == 0


def test_another_counter_is_used_in_its_context_only() -> None:
    def other(*_: object, **__: object) -> Counts:
        raise NotImplementedError

    with counted_by(other):
        assert counter() is other
    assert counter() is pair_counts


@pytest.fixture(scope="module")
def session() -> Iterator["SparkSession"]:
    missing = spark.missing_program()
    if missing:
        require(
            missing, "pip install pyspark, and install a Java runtime (openjdk-17-jre-headless)"
        )
    root = str(Path(nl.__file__).parents[1])
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SPARK_LOCAL_IP", "127.0.0.1")
        patch.setenv("PYTHONPATH", os.pathsep.join([root, os.environ.get("PYTHONPATH", "")]))
        # Jobs of seconds end before the second compiler of Java would pay.
        patch.setenv("JDK_JAVA_OPTIONS", "-XX:TieredStopAtLevel=1 -XX:+UseSerialGC")
        local = {"spark__driver__host": "127.0.0.1", "spark__sql__shuffle__partitions": "2"}
        with spark_session("local[2]", **local) as found:
            found.sparkContext.setLogLevel("OFF")
            yield found


@pytest.mark.servers
def test_counts_are_equal_for_any_partitions(session: "SparkSession") -> None:
    rows = rows_of(200, seed=1)
    for partitions, most in ((1, 2_048), (2, 5), (8, 5)):
        found = SparkCounter(session, partitions)(rows, STEPS, N_ITEMS, most=most, shares=SHARES)
        assert_equal(found, pair_counts(rows, STEPS, N_ITEMS, most=most, shares=SHARES))


@pytest.mark.servers
def test_a_snapshot_is_equal(session: "SparkSession") -> None:
    rng = np.random.default_rng(2)
    n = 1_500
    table = pa.table(
        {
            "user_id": [f"u{one}" for one in rng.integers(0, 60, n)],
            "item_id": [f"i{one}" for one in rng.integers(0, 30, n)],
            "timestamp": rng.permutation(n) + 1.6e9,
        }
    )
    with nl.Recommender(clock=lambda: 1.7e9) as local, nl.Recommender(clock=lambda: 1.7e9) as other:
        local.fit(table)
        with counted_by(SparkCounter(session, 2)):
            other.fit(table)
        snapshots = [rec._current.open().snapshot for rec in (local, other)]
    one, two = (found.arrays for found in snapshots if found is not None)
    assert one.keys() == two.keys()
    for name, array in one.items():
        assert array.tobytes() == two[name].tobytes(), name
