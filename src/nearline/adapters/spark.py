"""Counting of pairs on Apache Spark, with the same kernel and the same result as in one process.

A count is a sum of whole units over users. So each partition of users is counted by the kernel,
nothing is pruned, the units of each pair are summed, and only then the largest counts of an item
are kept. The sums do not depend on the partitions, on their order, or on repeated tasks.
"""

import os
import sys
import warnings
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from nearline.errors import InvalidInput, MissingExtra, WorkerFailed
from nearline.kernels.edges import Rows
from nearline.kernels.pair_counts import Counts, pair_counts
from nearline.kernels.row_factors import EQUAL

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

Doubles = NDArray[np.float64]

# Forms of the address of a cluster manager.
MASTERS = ("spark://", "local", "yarn", "k8s://")
PAIRS = "source int, target int, units bigint"
EVENTS = ("user", "place", "item", "weight")
# Partitions of users for each core of the cluster.
PARTITIONS_PER_CORE = 2
# Pairs in a batch that a task returns at a time.
_BATCH = 500_000


class SparkCounter:
    """Counter of pairs on a cluster; see `nearline.models.item_graph.pair_counter.PairCounter`.

    Nearline must be installed on the workers, in the version of this process.

    Parameters
    ----------
    session : SparkSession
        Connection to the cluster; see `spark_session`.
    partitions : int or None
        Number of partitions of users; None for two per core.
    """

    def __init__(self, session: "SparkSession", partitions: int | None = None) -> None:
        cores = session.sparkContext.defaultParallelism
        self.partitions = partitions or max(1, PARTITIONS_PER_CORE * cores)
        self._session = session
        self._sent: tuple[Rows, DataFrame] | None = None

    def __call__(
        self, rows: Rows, steps: Doubles, n_items: int, *, most: int, shares: Doubles = EQUAL
    ) -> Counts:
        """Return the counts of all pairs; the arguments are those of `pair_counts`.

        Raises
        ------
        WorkerFailed
            The cluster cannot run the job; the message has its reason.
        """
        with _explained("count pairs on Spark"):
            if self._sent is None or self._sent[0] is not rows:
                self._sent = rows, self._session.createDataFrame(events_of(rows))
            return count_events(
                self._sent[1],
                steps,
                n_items,
                most=most,
                shares=shares,
                partitions=self.partitions,
            )


def count_events(
    events: "DataFrame",
    steps: Doubles,
    n_items: int,
    *,
    most: int,
    shares: Doubles = EQUAL,
    partitions: int,
) -> Counts:
    """Count the pairs of a table of events.

    Parameters
    ----------
    events : DataFrame
        Columns `user` (any type), `place` (order of the user's events), `item` (int) and `weight`
        (float): one row for each event that counts.
    steps, n_items, most, shares
        As in `pair_counts`.
    partitions : int
        Number of partitions of users; it does not change the result.
    """
    from pyspark.sql import Window
    from pyspark.sql import functions as columns

    version = _version()

    def count(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        return partition_pairs(batches, steps, n_items, shares, version)

    by_user = events.select(*EVENTS).repartition(partitions, "user")
    pairs = by_user.sortWithinPartitions("user", "place").mapInArrow(count, PAIRS)
    sums = pairs.groupBy("source", "target").agg(columns.sum("units").alias("units"))
    most = max(1, min(most, n_items))
    if most < n_items:
        # The kernel compares counts as float64, and keeps the lower index if they are equal.
        largest = Window.partitionBy("source").orderBy(
            columns.col("units").cast("double").desc(), columns.col("target")
        )
        ranked = sums.withColumn("rank", columns.row_number().over(largest))
        sums = ranked.where(columns.col("rank") <= most).select("source", "target", "units")
    return _counts(sums.toArrow(), n_items)


def partition_pairs(
    batches: Iterable[pa.RecordBatch],
    steps: Doubles,
    n_items: int,
    shares: Doubles,
    version: str,
) -> Iterator[pa.RecordBatch]:
    """Yield the pairs of a partition with their units: source, target, units.

    Parameters
    ----------
    batches : iterable of RecordBatch
        Events of a partition with the columns of `EVENTS`, sorted by user and place.
    version : str
        Version of nearline that the workers must have.
    """
    if _version() != version:
        raise RuntimeError(
            f"a worker has nearline {_version()}, and the driver {version}: install the same one"
        )
    received = list(batches)
    if not any(batch.num_rows for batch in received):
        return
    table = pa.Table.from_batches(received)
    users = table["user"].combine_chunks().dictionary_encode().indices.to_numpy()
    starts = np.flatnonzero(np.diff(users, prepend=users[0] - 1))
    rows = Rows(
        np.append(starts, len(users)).astype(np.int64),
        table["item"].to_numpy().astype(np.int32),
        table["weight"].to_numpy().astype(np.float32),
    )
    counts = pair_counts(rows, steps, n_items, most=n_items, shares=shares, threads=1)
    sources = np.repeat(np.arange(n_items, dtype=np.int32), np.diff(counts.indptr))
    for start in range(0, len(sources), _BATCH):
        part = slice(start, start + _BATCH)
        yield pa.record_batch(
            {
                "source": sources[part],
                "target": counts.items[part],
                "units": counts.units[part],
            }
        )


def events_of(rows: Rows) -> pa.Table:
    """Return the events of rows as a table with the columns of `EVENTS`."""
    lengths = np.diff(rows.indptr)
    return pa.table(
        {
            "user": np.repeat(np.arange(len(lengths), dtype=np.int32), lengths),
            "place": np.arange(len(rows.items), dtype=np.int64),
            "item": rows.items,
            "weight": rows.weights,
        }
    )


@contextmanager
def spark_session(master: str, **settings: str) -> "Iterator[SparkSession]":
    """Return a context with a session on a cluster, which it ends.

    Parameters
    ----------
    master : str
        Address of the cluster manager, such as ``spark://host:7077`` or ``local[4]``.
    **settings : str
        Settings of Spark; write dots as double underscores, as in ``spark__executor__memory``.

    Raises
    ------
    InvalidInput
        The address has another form.
    MissingExtra
        The extra `spark` is not installed.
    WorkerFailed
        There is no cluster at the address, or no Java on this machine.
    """
    if not master.startswith(MASTERS):
        raise InvalidInput(
            f"the address of the cluster is {master!r:.100}; it must be spark://host:port, yarn, "
            "k8s://... or local[N]",
            field="on",
        )
    try:
        from pyspark.sql import SparkSession
    except ImportError:
        raise MissingExtra(
            "training on Spark needs pyspark; install the extra: pip install 'nearline[spark]'"
        ) from None
    # Workers on this machine use this Python; those of a cluster have their own setting.
    os.environ.setdefault(
        "PYSPARK_PYTHON", sys.executable if master.startswith("local") else "python3"
    )
    builder = SparkSession.builder.master(master).appName("nearline")
    plain = {"spark.ui.enabled": "false", "spark.sql.execution.arrow.pyspark.enabled": "true"}
    given = {name.replace("__", "."): value for name, value in settings.items()}
    for name, value in (plain | given).items():
        builder = builder.config(name, value)
    with _explained(f"connect to Spark at {master}"):
        session = builder.getOrCreate()
    try:
        yield session
    finally:
        session.stop()


@contextmanager
def _explained(what: str) -> Iterator[None]:
    """Return a context in which errors of Spark become `WorkerFailed`."""
    from py4j.protocol import Py4JError
    from pyspark.errors import PySparkException

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about versions of pandas, which is not used
        try:
            yield
        except (PySparkException, Py4JError, OSError) as error:
            reason = str(error).strip().splitlines()
            raise WorkerFailed(
                f"cannot {what}: {reason[0] if reason else type(error).__name__:.300}; the active "
                "model is unchanged"
            ) from error


def _counts(table: pa.Table, n_items: int) -> Counts:
    """Return pairs and units as `Counts`: sorted by source and target."""
    sources, targets = table["source"].to_numpy(), table["target"].to_numpy()
    order = np.lexsort((targets, sources))
    sizes = np.bincount(sources, minlength=n_items)
    return Counts(
        np.concatenate(([0], np.cumsum(sizes))).astype(np.int64),
        targets[order].astype(np.int32),
        table["units"].to_numpy()[order].astype(np.int64),
    )


def _version() -> str:
    from importlib.metadata import version

    return version("nearline")


def missing_program() -> str | None:
    """Return what is missing on this machine to run Spark; None if it can run."""
    import shutil
    from importlib.util import find_spec

    if find_spec("pyspark") is None:
        return "PySpark"
    return None if shutil.which("java") or os.environ.get("JAVA_HOME") else "Java 17"
