"""LambdaMART: training of tree ensembles with LightGBM, and conversion of the trees to arrays.

C. Burges, "From RankNet to LambdaRank to LambdaMART: an overview", MSR-TR-2010-82.
"""

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from nearline.data.dataset import FloatArray
from nearline.errors import MissingExtra
from nearline.kernels.chunks import available_threads
from nearline.kernels.trees import Trees, sum_trees
from nearline.models.hybrids.blend_pool import DISCOUNTS, K

# Fraction of the lists on which the number of trees is chosen.
HELD_OUT = 0.2
PATIENCE = 30


class Candidates(NamedTuple):
    """Training list: the n candidates of one user.

    Attributes
    ----------
    table : float32 [n, f]
        Features of each candidate.
    relevant : bool [n]
        Which candidates are targets; at least one.
    start : float32 [n]
        Initial scores, to which the values of the trees are added.
    """

    table: FloatArray
    relevant: NDArray[np.bool_]
    start: FloatArray


def boost(
    lists: list[Candidates],
    *,
    trees: int,
    leaves: int,
    rate: float,
    least: int,
    seed: int,
    search: bool,
) -> tuple[str, int]:
    """Train an ensemble of trees on lists by gradient boosting.

    Parameters
    ----------
    lists : list of Candidates
        Training lists.
    trees, leaves, rate, least : int, int, float, int
        Maximum number of trees, number of leaves of a tree, learning rate, and minimum number of
        candidates in a leaf.
    seed : int
        Seed of all random numbers.
    search : bool
        Whether to choose the number of trees on a fifth of the lists. It is 0 if the trees do not
        improve on the initial scores by at least one standard error.

    Returns
    -------
    str, int
        The trees in LightGBM's text format, and their number.

    Raises
    ------
    MissingExtra
        LightGBM is not installed.
    """
    library = lightgbm()

    def pool(some: list[Candidates], reference: Any = None) -> Any:
        return library.Dataset(
            np.concatenate([one.table for one in some]),
            np.concatenate([one.relevant for one in some]).astype(np.int32),
            group=[len(one.relevant) for one in some],
            init_score=np.concatenate([one.start for one in some]).astype(np.float64),
            reference=reference,
        )

    settings = {
        "objective": "lambdarank",
        "lambdarank_truncation_level": 2 * K,
        "metric": "ndcg",
        "eval_at": [K],
        "num_leaves": leaves,
        "learning_rate": rate,
        "min_data_in_leaf": least,
        "seed": seed,
        "deterministic": True,
        "force_row_wise": True,
        "num_threads": available_threads(),
        "verbosity": -1,
    }
    if search:
        held_out, rest = lists[: int(HELD_OUT * len(lists))], lists[int(HELD_OUT * len(lists)) :]
        learned = pool(rest)
        booster = library.train(
            settings,
            learned,
            trees,
            valid_sets=[pool(held_out, learned)],
            callbacks=[library.early_stopping(PATIENCE, verbose=False)],
        )
        trees = booster.best_iteration
        read = parsed(booster.model_to_string(num_iteration=trees))
        leads = [_gain(one.start + sum_trees(read, one.table), one.relevant) for one in held_out]
        lead = np.array(leads) - [_gain(one.start, one.relevant) for one in held_out]
        if lead.mean() < lead.std() / np.sqrt(len(lead)):
            return "", 0
    return library.train(settings, pool(lists), trees).model_to_string(), trees


def _gain(scores: NDArray[np.floating[Any]], relevant: NDArray[np.bool_]) -> float:
    """Return the NDCG@10 of one list."""
    best = relevant[np.argsort(-scores, kind="stable")[:K]]
    return float(DISCOUNTS[: len(best)] @ best / DISCOUNTS[: relevant.sum()].sum())


def parsed(text: str) -> Trees:
    """Parse trees in LightGBM's text format; features must be numeric, without missing values."""
    columns: dict[str, list[NDArray[Any]]] = {name: [] for name in Trees._fields}
    nodes = leaves = 0
    for block in text.split("\nTree=")[1:]:
        fields = dict(line.split("=", 1) for line in block.splitlines() if "=" in line)

        def numbers(name: str, kind: type, fields: dict[str, str] = fields) -> NDArray[Any]:
            return np.array(fields.get(name, "").split(), dtype=kind)

        values = numbers("leaf_value", np.float64)
        alone = int(fields["num_leaves"]) == 1
        columns["roots"].append(np.array([~leaves if alone else nodes], dtype=np.int32))
        columns["values"].append(values)
        if not alone:
            for side in ("left", "right"):
                child = numbers(f"{side}_child", np.int32)
                columns[side].append(np.where(child >= 0, child + nodes, child - leaves))
            columns["features"].append(numbers("split_feature", np.int32))
            columns["thresholds"].append(numbers("threshold", np.float64))
            nodes += len(columns["features"][-1])
        leaves += len(values)
    kinds = {name: array.dtype for name, array in no_trees()._asdict().items()}
    return Trees(
        *(
            np.concatenate([np.zeros(0, kinds[name]), *columns[name]]).astype(kinds[name])
            for name in Trees._fields
        )
    )


def no_trees() -> Trees:
    """Return an ensemble without trees."""
    whole, broken = np.zeros(0, dtype=np.int32), np.zeros(0, dtype=np.float64)
    return Trees(whole, whole, broken, whole, whole, broken)


def lightgbm() -> Any:
    """Return the module lightgbm; raise `MissingExtra` if it is not installed."""
    try:
        import lightgbm as library
    except ImportError:
        raise MissingExtra(
            "learned_ranking is fitted with lightgbm, which is not installed: "
            "pip install nearline[rank]"
        ) from None
    return library
