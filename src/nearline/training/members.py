"""Comparison of a trained model with simple ones, so that it is never worse than these.

Popularity, trending, item kNN and RP3beta are trained on the same data, with a few settings each,
and measured on the same validation users. If histories are as short as sessions, session kNN is,
too. If one of them is significantly better than the model, both are blended, or the simple one is
used alone.
"""

from collections.abc import Iterator
from typing import Any, NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

from nearline.common.progress import Progress, is_over
from nearline.data import TIMES, Dataset, Histories
from nearline.evaluation import judge, ndcg, paired_differences
from nearline.models.base import Model
from nearline.models.hybrids.blend import Blend, BlendConfig, BlendPart
from nearline.models.neighbours.session_knn import SessionKnn
from nearline.models.registry import make_model
from nearline.models.validation import draw_users
from nearline.schema import DAY

# Length of the compared lists, and bounds on the number of users in the comparison.
K, FEWEST_USERS, MOST_USERS = 10, 100, 5_000
# Settings that are tried for each simple model; only the first for more than `MOST_INTERACTIONS`.
GRIDS: dict[str, tuple[dict[str, Any], ...]] = {
    "popularity": ({},),
    "trending": tuple({"half_life": days * DAY} for days in (7.0, 1.0, 30.0)),
    "item_knn": tuple({"neighbours": 200, "measure": name} for name in ("cosine", "tfidf")),
    "rp3beta": tuple({"beta": beta} for beta in (0.4, 0.2, 0.6)),
    SessionKnn.name: ({},),
}
MOST_INTERACTIONS = 5_000_000
# Models that are compared; others are trained only at the explicit request of the user.
DEFAULTS = ("item_graph", "learned_ranking")

Values = NDArray[np.float64]


class _Measured(NamedTuple):
    """A trained model, and NDCG@10 of its list for each user."""

    model: Model
    values: Values


def never_worse(
    model: Model,
    data: Dataset,
    validation: Histories,
    *,
    seed: int,
    exclude_seen: bool,
    progress: Progress,
    sessions: bool = False,
) -> tuple[Model, dict[str, float]]:
    """Compare a model with simple ones, and return the model to use instead.

    Parameters
    ----------
    model : Model
        Trained model.
    data : Dataset
        Training data; simple models are trained on it.
    validation : Histories
        Held-out events, one row for each user of `data`.
    seed : int
        Seed of all random numbers.
    exclude_seen : bool
        Whether lists leave out items of the histories.
    sessions : bool
        Whether histories are sessions, so that session kNN is compared, too.

    Returns
    -------
    Model
        `model`, unless a simple model is significantly better: then a blend of both, or the simple
        model if the blend is not better. Ties are decided for `model`.
    dict of str to float
        Validation NDCG@10 of each simple model that was compared.

    Notes
    -----
    With fewer than `FEWEST_USERS` users with targets, nothing is compared. If the time of
    `progress` is over, models that were not trained yet are left out.
    """
    users = draw_users(validation, MOST_USERS, seed)
    if len(users) < FEWEST_USERS:
        return model, {}
    histories, truth = data.histories.select(users), validation.select(users)

    def measure(one: Model) -> _Measured:
        lists = one.recommend_from(histories, K, exclude_seen=exclude_seen).items
        return _Measured(one, np.asarray(ndcg(judge(lists, truth, K)), dtype=np.float64))

    own, found, best = measure(model), {}, None
    for done, (name, tried) in enumerate(_simple_models(data, sessions)):
        if is_over(progress):
            break
        progress(done, len(GRIDS), f"compare {name}")
        by = validation if tried[0].tunes_itself else None
        measured = [measure(one.fit(data, validation=by, seed=seed)) for one in tried]
        top = max(measured, key=lambda one: float(one.values.mean()))
        found[f"validation_ndcg@{K}_{name}"] = float(top.values.mean())
        if best is None or top.values.mean() > best.values.mean():
            best = top
    if best is None or not significantly_better(best.values, own.values, seed):
        return model, found
    progress(len(GRIDS), len(GRIDS), f"blend with {best.model.name}")
    mixed = measure(_blended([model, best.model], data, validation, seed))
    chosen = max((best, mixed), key=lambda one: float(one.values.mean()))
    return chosen.model, found


def significantly_better(first: Values, second: Values, seed: int) -> bool:
    """Return whether the 95 % interval of the paired difference of means is above zero."""
    rng = np.random.default_rng(seed)
    return paired_differences({"": first}, {"": second}, rng)[""].low > 0


def _simple_models(data: Dataset, sessions: bool) -> Iterator[tuple[str, list[Model]]]:
    most = None if data.n_interactions <= MOST_INTERACTIONS else 1
    left_out = set() if data.order == TIMES else {"trending"}
    if not sessions:
        left_out.add(SessionKnn.name)
    for name, grid in GRIDS.items():
        if name not in left_out:
            yield name, [make_model(name, settings) for settings in grid[:most]]


def _blended(parts: list[Model], data: Dataset, validation: Histories, seed: int) -> Blend:
    """Return a blend of trained models with weights chosen on validation data."""
    config = BlendConfig(
        parts=tuple(
            BlendPart(model=part.name, settings=msgspec.to_builtins(part.config)) for part in parts
        )
    )
    blend = Blend(config).with_parts(parts)
    blend.weigh(data, validation, seed=seed)
    blend.fitted_on = data.histories
    return blend
