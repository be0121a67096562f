"""Acceptance: train a candidate and decide whether it may replace the active model.

The newest interaction of each user is held out, for a limited number of the most recently active
users. The candidate is fitted without these interactions. Both models then rank every item for
these users from the same histories. The candidate is rejected if its NDCG@10 is significantly
lower: if the whole 95 % interval of the paired difference is below zero. In either case the chosen
settings are then fitted on everything, so that a snapshot always includes every event before its
offset.

The active model must not have learned the held-out events. If there are enough events after its
snapshot, those are held out and the snapshot itself is measured. Otherwise its settings are fitted
again on the candidate's training data and measured instead.
"""

from collections.abc import Iterable
from pathlib import Path

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from nearline.common.counts import count
from nearline.common.progress import Progress
from nearline.data import Dataset, Split, hold_out
from nearline.deployment.restore import restore
from nearline.deployment.texts import with_language
from nearline.encoders import TextVectors
from nearline.evaluation import Report, compare, evaluate
from nearline.log import Readable
from nearline.models.base import Model
from nearline.models.capabilities import LearnsOnline
from nearline.schema import Event
from nearline.snapshots import Snapshot
from nearline.training.compaction import with_catalogue
from nearline.training.train import TrainingSpec, choose, describe, read, train_on

# With fewer users, a comparison is meaningless.
FEWEST_USERS = 30
METRIC = "ndcg@10"


class Verdict(Struct, frozen=True, kw_only=True):
    """Whether to promote a candidate, and why."""

    promote: bool
    reason: str


def train_and_judge(
    log: Readable,
    spec: TrainingSpec,
    serving: Snapshot | None,
    *,
    texts: TextVectors | None = None,
    progress: Progress,
    journal: Path | None = None,
) -> tuple[Snapshot, Verdict]:
    """Train as `train` does, and decide whether the result may replace the active snapshot.

    A comparison needs one fit more than `train`, or two if a model with the settings of the active
    snapshot must be fitted for it. Without an active snapshot, with `trial_users` 0, or with fewer
    than `FEWEST_USERS` test users, nothing is compared and the verdict is to promote.

    Parameters
    ----------
    serving : Snapshot or None
        Active snapshot. The other parameters, and the errors raised, are those of `train`.

    Returns
    -------
    snapshot : Snapshot
        Result, trained on all events, including those held out for the comparison.
    verdict : Verdict
        Whether to promote the result, and why.
    """
    data = with_language(read(log, spec), texts, progress)
    if serving is None or not spec.config.trial_users:
        why = "there is no active model" if serving is None else "trials are disabled"
        snapshot = train_on(data, spec, validation=None, progress=progress, journal=journal)
        return snapshot, Verdict(promote=True, reason=f"{why}; nothing was compared")
    news = _events(log.read(serving.manifest.offset, spec.offset))
    newest, unseen = _newest(data, news, spec.config.trial_users)
    n_users = int(newest.sum())
    if n_users < FEWEST_USERS:
        snapshot = train_on(data, spec, validation=None, progress=progress, journal=journal)
        why = f"users with a newest event to hold out: {n_users}, fewer than {FEWEST_USERS}"
        return snapshot, Verdict(promote=True, reason=f"{why}; nothing was compared")
    split = hold_out(data, newest)
    chosen, metrics = choose(split.train, spec, validation=None, progress=progress, journal=journal)
    candidate = chosen.refit(split.train, seed=spec.seed, progress=progress)
    if unseen:
        rival = with_catalogue(log, spec, serving, texts)
        if spec.config.online and isinstance(rival, LearnsOnline):
            # The active model has learned online since its snapshot.
            rival.rebuild_counts(split.train.counted_histories, split.train.n_items)
    else:
        rival = _fit_again(serving, split.train, candidate, spec, progress)
    verdict, measured = judge(
        candidate, rival, split, seed=spec.seed, exclude_seen=spec.config.exclude_seen
    )
    final = candidate.refit(data.without_superseded(), seed=spec.seed, progress=progress)
    return describe(final, data, spec, metrics | measured), verdict


def judge(
    candidate: Model, rival: Model, split: Split, *, seed: int, exclude_seen: bool = True
) -> tuple[Verdict, dict[str, float]]:
    """Compare two models on the held-out data; return the verdict and the candidate's metrics."""
    sizes = np.diff(split.test.indptr)
    users = np.flatnonzero(sizes)
    histories, truth = split.train.histories.select(users), split.test.select(users)
    counts = np.bincount(split.train.histories.items, minlength=split.train.n_items)

    def measure(model: Model) -> Report:
        rng = np.random.default_rng(seed)
        return evaluate(
            model,
            histories,
            truth,
            k=10,
            popularity=counts,
            exclude_seen=exclude_seen,
            rng=rng,
        )

    new = measure(candidate)
    old = new if rival is candidate else measure(rival)
    difference = compare(new, old, np.random.default_rng(seed))[METRIC]
    worse = difference.high < 0
    verdict = Verdict(
        promote=not worse,
        reason=(
            f"NDCG@10 on the newest event of {count(new.n_users, 'user')} is "
            f"{new.means[METRIC]:.4f}, and {old.means[METRIC]:.4f} for the active model: "
            "a difference of "
            f"{difference.mean:+.4f} [{difference.low:+.4f}, {difference.high:+.4f}], "
            + ("significantly lower" if worse else "not significantly lower")
        ),
    )
    return verdict, {f"held_out_{name}": value for name, value in new.means.items()}


def _events(records: Iterable[tuple[int, object]]) -> set[tuple[str, str, float]]:
    """Return the user, item and time of each event."""
    return {
        (record.user_id, record.item_id, record.timestamp)
        for _, record in records
        if isinstance(record, Event)
    }


def _newest(
    data: Dataset, unseen: set[tuple[str, str, float]], bound: int
) -> tuple[NDArray[np.bool_], bool]:
    """Mark the newest interaction of up to `bound` users, and return whether all are unseen.

    Users need at least two interactions; the most recently active are chosen.
    """
    histories = data.histories
    users = np.flatnonzero(np.diff(histories.indptr) > 1)
    last = histories.indptr[1:][users] - 1
    newest_of = zip(
        users.tolist(), histories.items[last].tolist(), histories.times[last].tolist(), strict=True
    )
    fresh = np.array(
        [(data.user_ids[u], data.item_ids[i], time) in unseen for u, i, time in newest_of],
        dtype=np.bool_,
    )
    enough = int(fresh.sum()) >= FEWEST_USERS
    if enough:
        last = last[fresh]
    kept = last[np.argsort(-histories.times[last], kind="stable")[:bound]]
    newest = np.zeros(data.n_interactions, dtype=np.bool_)
    newest[kept] = True
    return newest, enough


def _fit_again(
    serving: Snapshot, data: Dataset, candidate: Model, spec: TrainingSpec, progress: Progress
) -> Model:
    """Fit the settings of the active snapshot; return the candidate if its settings are equal."""
    model = restore(serving)
    if type(model) is type(candidate) and model.config == candidate.config:
        return candidate
    return model.refit(data, seed=spec.seed, progress=progress)
