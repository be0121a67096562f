"""Training whose pairs are counted on a cluster of Apache Spark."""

from collections.abc import Iterator
from contextlib import contextmanager

from nearline.config import Config
from nearline.errors import InvalidInput
from nearline.models.item_graph.pair_counter import counted_by

# Models whose time is that of counting pairs.
MODELS = ("item_graph",)


@contextmanager
def counting_on(master: str | None, config: Config) -> Iterator[None]:
    """Return a context in which pairs are counted on a cluster; None counts in this process.

    Raises
    ------
    InvalidInput
        The model does not count pairs, or the address is invalid.
    MissingExtra, WorkerFailed
        PySpark is not installed; the cluster cannot be reached.
    """
    if master is None:
        yield
        return
    if config.model not in MODELS:
        raise InvalidInput(
            f"model is {config.model!r}, which does not count pairs; Spark trains "
            f"{', '.join(MODELS)}: leave `on` out",
            field="on",
        )
    from nearline.adapters.spark import SparkCounter, spark_session

    with spark_session(master) as session, counted_by(SparkCounter(session)):
        yield
