"""Training: log → dataset → fit → evaluate → snapshot.

`train` does not change the active model: the caller writes the snapshot and promotes it.
`acceptance.py` also compares the result with the active model.
"""

from pathlib import Path

import msgspec
import numpy as np
import pyarrow as pa
from msgspec import Struct

from nearline.common.progress import Progress, limited
from nearline.common.spill import memory_limited
from nearline.config import Config, for_order
from nearline.data import (
    NONE,
    Dataset,
    Histories,
    dataset_from_log,
    histories_for,
    leave_one_out,
    set_split,
)
from nearline.deployment.texts import with_language
from nearline.encoders import TextVectors
from nearline.errors import InvalidInput, NotTrained
from nearline.evaluation import Report, compare, evaluate, relevant_counts
from nearline.evaluation.metrics import reached_already
from nearline.log import Readable
from nearline.models.base import Model
from nearline.models.item_graph.model import ItemGraph
from nearline.models.neighbours.session_knn import has_sessions
from nearline.models.validation import draw_users
from nearline.schema.rules import REPEATS_FOUND
from nearline.snapshots import Snapshot, build
from nearline.training.members import DEFAULTS, never_worse
from nearline.training.sample import sample_of_users, unscaled
from nearline.training.search import list_score, score_with_seen, search


class TrainingSpec(Struct, frozen=True, kw_only=True):
    """Specification of a training run, in this or another process.

    Attributes
    ----------
    config : Config
    item_ids : list of str
        Items in the order of the state's vocabulary at `offset`, which is the model's order too.
    offset : int
        Every record before it is trained on.
    erasures : int
        Number of erasures in the log.
    seed : int
    vectors : str or None
        File of text vectors, if the configuration has an encoder; None means the user's cache.
    """

    config: Config
    item_ids: list[str]
    offset: int
    erasures: int
    seed: int
    vectors: str | None = None


# Share of what was held out that lists without seen items cannot hold; left out where it is 0.
UNREACHABLE = "validation_unreachable"
# Share of the held-out interactions that repeat an item of the history; left out where it is 0.
REPEAT_SHARE = "repeat_share"
# Share of the users on which settings were searched; left out if it is 1.
SAMPLE = "validation_sample"
# Minimum share of repeats, if lists with seen items are also significantly better, for "auto".
FEWEST_REPEATS = 0.1
# Share of each user's items that is held out if they are a set without an order.
SET_SHARE = 0.1
# Maximum number of users whose validation lists the metrics of a training are means of.
MOST_MEASURED = 20_000


def train(
    log: Readable,
    spec: TrainingSpec,
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
        Interactions to choose hyper-parameters by, never trained on. None holds out the last
        interaction of each user instead, or random ones if interactions have no order, and trains
        on these afterwards.
    texts : TextVectors or None
        Source of the items' language vectors.
    journal : Path or None
        File of the trials of a search, from which an interrupted search is resumed.

    Raises
    ------
    InvalidInput
        The model learns ratings, or does not have one of the settings.
    NotTrained
        The log has no events.
    """
    data = with_language(read(log, spec), texts, progress)
    return train_on(data, spec, validation=validation, progress=progress, journal=journal)


def read(log: Readable, spec: TrainingSpec) -> Dataset:
    """Read the training data from the log; errors are those of `train`."""
    check_serves(spec.config.new_model())
    state, item_ids = spec.config.state, spec.item_ids
    data = dataset_from_log(log, spec.offset, state.weight, limits=state.limits, item_ids=item_ids)
    if data.n_interactions == 0:
        raise NotTrained("the log has no events to train on; import or observe some first")
    return data


def train_on(
    data: Dataset,
    spec: TrainingSpec,
    *,
    validation: pa.Table | None,
    progress: Progress,
    journal: Path | None,
) -> Snapshot:
    """Train on data that was read already; see `train`."""
    with memory_limited(spec.config.memory):
        model, metrics = choose(
            data, spec, validation=validation, progress=progress, journal=journal
        )
        if validation is None or SAMPLE in metrics:
            model = model.refit(data.without_superseded(), seed=spec.seed, progress=progress)
        return describe(model, data, spec, metrics)


def choose(
    data: Dataset,
    spec: TrainingSpec,
    *,
    validation: pa.Table | None,
    progress: Progress,
    journal: Path | None,
) -> tuple[Model, dict[str, float]]:
    """Choose settings on validation data; return the model fitted without it, and its metrics.

    Of large data, only a sample of the users is used, see `sample_of_users`.
    """
    whole, data = data, sample_of_users(data)
    given, progress = progress, limited(progress, spec.config.search_seconds)
    sessions = has_sessions(data)
    config = for_order(spec.config, data.order, data.n_items, sessions=sessions)
    model, seed = config.new_model(), spec.seed
    seen, truth = _divide(data, validation, spec.config)
    if spec.config.search and len(truth.items):
        found = search(
            model,
            seen,
            truth,
            trials=spec.config.search,
            seed=seed,
            score=list_score if spec.config.exclude_seen else score_with_seen,
            journal=journal,
            progress=progress,
        )
        model = type(model)(found)
    if whole is not data:
        given(0, 0, f"sample of {data.n_users:,} users")
    fitted = model.fit(seen, validation=truth, seed=seed, progress=progress)
    # Sessions that return to their items are judged by lists that can have them.
    returning = sessions and _repeat_share(seen, truth) >= FEWEST_REPEATS
    exclude_seen = spec.config.exclude_seen and not returning
    simple: dict[str, float] = {}
    if model.name in DEFAULTS:
        model, simple = never_worse(
            *(model, seen, truth),
            seed=seed,
            exclude_seen=exclude_seen,
            progress=progress,
            sessions=sessions,
        )
    metrics = _metrics(model, seen, truth, seed, exclude_seen=exclude_seen)
    repeats = _repeats(model if returning else fitted, seen, truth, seed)
    if whole is data:
        return model, metrics | simple | repeats
    return unscaled(model), metrics | simple | repeats | {SAMPLE: data.n_users / whole.n_users}


def describe(
    model: Model, data: Dataset, spec: TrainingSpec, metrics: dict[str, float]
) -> Snapshot:
    """Return a snapshot of a model that was fitted on all of `data`."""
    arrays = model.arrays()
    for array in arrays.values():
        array.flags.writeable = False
    manifest = build(
        model=model.name,
        config=msgspec.to_builtins(model.config),
        arrays=arrays,
        item_ids=data.item_ids,
        offset=spec.offset,
        erasures=spec.erasures,
        seed=spec.seed,
        metrics=metrics,
        data_until=float(data.histories.times.max()),
        order=data.order,
        encoder=data.encoder,
        limits=spec.config.state.limits.protective,
    )
    return Snapshot(manifest, arrays, data.item_ids)


def _divide(
    data: Dataset, validation: pa.Table | None, config: Config
) -> tuple[Dataset, Histories]:
    """Return the data to fit while settings are chosen, and the targets to choose them by."""
    if validation is None:
        split = set_split(data, SET_SHARE) if data.order == NONE else leave_one_out(data)
        return split.train, split.test
    weight = config.state.weight
    return data.without_superseded(), histories_for(
        data.item_ids, validation, data.user_ids, weight
    )


def check_serves(model: Model) -> None:
    """Raise `InvalidInput` if a recommender cannot serve a model."""
    if model.needs_ratings:
        raise InvalidInput(
            f"model {model.name!r} learns ratings, but a store has event weights, so it cannot be "
            "served; measure it with `nearline compare --ratings`, or fit it from nearline.models",
            field="model",
        )


def _repeat_share(seen: Dataset, truth: Histories) -> float:
    """Return the share of targets that are items of the user's history; 0 without targets."""
    counted = relevant_counts(truth).sum()
    return float(reached_already(truth, seen.histories) / counted) if counted else 0.0


def _repeats(model: Model, seen: Dataset, truth: Histories, seed: int) -> dict[str, float]:
    """Return the share of repeats in the held-out interactions, and whether they are the truth."""
    if isinstance(model, ItemGraph) and model.time_terms is not None:
        share, repeated = model.time_terms.repeat_share, model.time_terms.repeats
    else:
        share, repeated = _repeat_share(seen, truth), False
        if share >= FEWEST_REPEATS:
            with_seen, without = (
                _report(model, seen, truth, seed, exclude_seen=masks) for masks in (False, True)
            )
            difference = compare(with_seen, without, np.random.default_rng(seed))["ndcg@10"]
            repeated = difference.low > 0
    return {REPEAT_SHARE: float(share), REPEATS_FOUND: float(repeated)} if share else {}


def _metrics(
    model: Model, seen: Dataset, truth: Histories, seed: int, *, exclude_seen: bool
) -> dict[str, float]:
    """Return the accuracy on the validation data, which is slightly optimistic."""
    if not relevant_counts(truth).any():  # no targets, or only dislikes
        return {}
    report = _report(model, seen, truth, seed, exclude_seen=exclude_seen)
    metrics = {f"validation_{name}": value for name, value in report.means.items()}
    if report.n_unreachable:
        metrics[UNREACHABLE] = report.n_unreachable / report.n_relevant
    return metrics


def _report(
    model: Model, seen: Dataset, truth: Histories, seed: int, *, exclude_seen: bool
) -> Report:
    counts = np.bincount(seen.histories.items, minlength=seen.n_items)
    histories = seen.histories
    if len(histories) > MOST_MEASURED:
        users = draw_users(truth, MOST_MEASURED, seed)
        histories, truth = histories.select(users), truth.select(users)
    return evaluate(
        model,
        histories,
        truth,
        k=10,
        popularity=counts,
        exclude_seen=exclude_seen,
        rng=np.random.default_rng(seed),
    )
