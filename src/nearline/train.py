"""Road 3: log → dataset → fit → evaluate → snapshot → promote.

`train` takes the first four steps and changes nothing that serves; the engine writes the snapshot
and promotes it, which are acts of their own.
"""

from pathlib import Path

import msgspec
import numpy as np
import pyarrow as pa

from nearline.config import Config
from nearline.data import (
    Dataset,
    Histories,
    dataset_from_log,
    histories_for,
    leave_one_out,
)
from nearline.errors import InvalidInput, NotTrained
from nearline.evaluation import evaluate, relevant_counts
from nearline.log import Log
from nearline.models.base import Model
from nearline.progress import Progress
from nearline.search import search
from nearline.snapshots import Snapshot, build


def train(
    log: Log,
    item_ids: list[str],
    config: Config,
    *,
    validation: pa.Table | None,
    seed: int,
    progress: Progress,
    journal: Path | None = None,
) -> Snapshot:
    """Fit the configured model on the whole log.

    Parameters
    ----------
    item_ids : list of str
        Items in the order of the state's vocabulary; the model numbers its items the same way.
    validation : pyarrow.Table or None
        Interactions that choose hyper-parameters and are never trained on. None: the last
        interaction of each user plays that part and is trained on afterwards.
    journal : Path or None
        File that keeps the trials of a search, so that it can go on where it was cut off.

    Raises
    ------
    InvalidInput
        The model is one of ratings, or has no such setting.
    NotTrained
        The log holds no event.
    """
    model = config.new_model()
    _check_serves(model)
    stop, erasures = log.end, log.erasures
    data = dataset_from_log(log, stop, config.state.weight, item_ids=item_ids)
    if data.n_interactions == 0:
        raise NotTrained("the log holds no events to train on; import or observe some first")
    seen, truth = _divide(data, validation, config)
    if config.search and len(truth.items):
        found = search(
            model, seen, truth, trials=config.search, seed=seed, journal=journal, progress=progress
        )
        model = type(model)(found)
    model.fit(seen, validation=truth, seed=seed, progress=progress)
    metrics = _metrics(model, seen, truth, seed)
    if validation is None:
        model = type(model)(model.config).fit(data, seed=seed, progress=progress)
    arrays = model.arrays()
    for array in arrays.values():
        array.flags.writeable = False
    manifest = build(
        model=model.name,
        config=msgspec.to_builtins(model.config),
        arrays=arrays,
        item_ids=data.item_ids,
        offset=stop,
        erasures=erasures,
        seed=seed,
        metrics=metrics,
        data_until=float(data.histories.times.max()),
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


def _check_serves(model: Model) -> None:
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
    return {f"validation_{name}": value for name, value in report.means.items()}
