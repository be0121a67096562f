"""Road 3: log → dataset → fit → evaluate → snapshot → promote.

`train` takes the first four steps and changes nothing that serves; `trial.py` takes them beside
the model that serves. The engine writes the snapshot and promotes it, which are acts of their own.
"""

from pathlib import Path

import msgspec
import numpy as np
import pyarrow as pa
from msgspec import Struct

from nearline.common.progress import Progress
from nearline.config import Config
from nearline.data import (
    Dataset,
    Histories,
    dataset_from_log,
    histories_for,
    leave_one_out,
)
from nearline.deployment.texts import with_language
from nearline.encoders import TextVectors
from nearline.errors import InvalidInput, NotTrained
from nearline.evaluation import evaluate, relevant_counts
from nearline.log import Readable
from nearline.models.base import Model
from nearline.snapshots import Snapshot, build
from nearline.training.search import search


class TrainingSpec(Struct, frozen=True, kw_only=True):
    """What to train, and on what: all that a training must know, here or in another process.

    Attributes
    ----------
    config : Config
    item_ids : list of str
        Items in the order of the state's vocabulary when it stood at `offset`; the model numbers
        its items the same way.
    offset : int
        Every record before it is trained on.
    erasures : int
        Erasures that the log had seen.
    seed : int
    vectors : str or None
        File of the vectors of texts, where the configuration names an encoder; None stands for
        that of the user.
    """

    config: Config
    item_ids: list[str]
    offset: int
    erasures: int
    seed: int
    vectors: str | None = None


# Share of what was held out that lists without seen items cannot hold; left out where it is 0.
UNREACHABLE = "validation_unreachable"


def train(
    log: Readable,
    order: TrainingSpec,
    *,
    validation: pa.Table | None,
    texts: TextVectors | None = None,
    progress: Progress,
    journal: Path | None = None,
) -> Snapshot:
    """Fit the configured model on the log.

    Parameters
    ----------
    validation : pyarrow.Table or None
        Interactions that choose hyper-parameters and are never trained on. None: the last
        interaction of each user plays that part and is trained on afterwards.
    texts : TextVectors or None
        Gives the items the vector column of a language model.
    journal : Path or None
        File that keeps the trials of a search, so that it can go on where it was cut off.

    Raises
    ------
    InvalidInput
        The model is one of ratings, or has no such setting.
    NotTrained
        The log holds no event.
    """
    data = with_language(read(log, order), texts, progress)
    return train_on(data, order, validation=validation, progress=progress, journal=journal)


def read(log: Readable, order: TrainingSpec) -> Dataset:
    """Turn the log into the data of a training; errors are those of `train`."""
    check_serves(order.config.new_model())
    weight = order.config.state.weight
    data = dataset_from_log(log, order.offset, weight, item_ids=order.item_ids)
    if data.n_interactions == 0:
        raise NotTrained("the log holds no events to train on; import or observe some first")
    return data


def train_on(
    data: Dataset,
    order: TrainingSpec,
    *,
    validation: pa.Table | None,
    progress: Progress,
    journal: Path | None,
) -> Snapshot:
    """Take the steps of `train` behind the reading."""
    model, metrics = choose(data, order, validation=validation, progress=progress, journal=journal)
    if validation is None:
        model = model.refit(data, seed=order.seed, progress=progress)
    return describe(model, data, order, metrics)


def choose(
    data: Dataset,
    order: TrainingSpec,
    *,
    validation: pa.Table | None,
    progress: Progress,
    journal: Path | None,
) -> tuple[Model, dict[str, float]]:
    """Choose settings on validation data; return the model that was fitted beside it, measured."""
    model, seed = order.config.new_model(), order.seed
    seen, truth = _divide(data, validation, order.config)
    if order.config.search and len(truth.items):
        found = search(
            model,
            seen,
            truth,
            trials=order.config.search,
            seed=seed,
            journal=journal,
            progress=progress,
        )
        model = type(model)(found)
    model.fit(seen, validation=truth, seed=seed, progress=progress)
    return model, _metrics(model, seen, truth, seed)


def describe(
    model: Model, data: Dataset, order: TrainingSpec, metrics: dict[str, float]
) -> Snapshot:
    """Make a snapshot of a model that was fitted on all of `data`."""
    arrays = model.arrays()
    for array in arrays.values():
        array.flags.writeable = False
    manifest = build(
        model=model.name,
        config=msgspec.to_builtins(model.config),
        arrays=arrays,
        item_ids=data.item_ids,
        offset=order.offset,
        erasures=order.erasures,
        seed=order.seed,
        metrics=metrics,
        data_until=float(data.histories.times.max()),
        encoder=data.encoder,
    )
    return Snapshot(manifest, arrays, data.item_ids)


def _divide(
    data: Dataset, validation: pa.Table | None, config: Config
) -> tuple[Dataset, Histories]:
    """Give what is fitted while settings are chosen, and what chooses them."""
    if validation is None:
        split = leave_one_out(data)
        return split.train, split.test
    weight = config.state.weight
    return data, histories_for(data.item_ids, validation, data.user_ids, weight)


def check_serves(model: Model) -> None:
    """Raise `InvalidInput` where a store cannot serve a model."""
    if model.needs_ratings:
        raise InvalidInput(
            f"model {model.name!r} learns ratings, and a store keeps weights of events: it cannot "
            "serve; measure it with `nearline compare --ratings`, or fit it from nearline.models",
            field="model",
        )


def _metrics(model: Model, seen: Dataset, truth: Histories, seed: int) -> dict[str, float]:
    """Accuracy on what chose the hyper-parameters: a little above what is to be expected."""
    if not relevant_counts(truth).any():  # nothing, or dislikes alone
        return {}
    counts = np.bincount(seen.histories.items, minlength=seen.n_items)
    report = evaluate(
        model, seen.histories, truth, k=10, popularity=counts, rng=np.random.default_rng(seed)
    )
    metrics = {f"validation_{name}": value for name, value in report.means.items()}
    if report.n_unreachable:
        metrics[UNREACHABLE] = report.n_unreachable / report.n_relevant
    return metrics
