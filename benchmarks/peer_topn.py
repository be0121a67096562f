"""Tune a model of another library on MovieLens and print its lists; run by `topn_movielens`.

The question contains a model, a file of index arrays, the number of trials and a seed. The answer
contains the settings found, their NDCG@10 on the validation part, and the top-10 list of each user
from a fit on the whole training part. Only NumPy, SciPy, Optuna and the library are needed.
"""

import json
import sys
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import optuna
from scipy import sparse

K = 10
Settings = dict[str, Any]
# Settings, user-item matrix and seed to int [n_users, K].
Lists = Callable[[Settings, Any, int], Any]


def implicit_lists(make: Callable[[Settings, int], Any]) -> Lists:
    def lists(settings: Settings, matrix: Any, seed: int) -> Any:
        model = make(settings, seed)
        model.fit(matrix, show_progress=False)
        users = np.arange(matrix.shape[0])
        return model.recommend(users, matrix, N=K, filter_already_liked_items=True)[0]

    return lists


def implicit_als(settings: Settings, seed: int) -> Any:
    from implicit.cpu.als import AlternatingLeastSquares

    return AlternatingLeastSquares(**settings, random_state=seed)


def implicit_bpr(settings: Settings, seed: int) -> Any:
    from implicit.cpu.bpr import BayesianPersonalizedRanking

    # One thread, because the order of updates is random with several.
    return BayesianPersonalizedRanking(**settings, num_threads=1, random_state=seed)


def implicit_items(settings: Settings, _seed: int) -> Any:
    from implicit import nearest_neighbours

    kinds = {
        "cosine": nearest_neighbours.CosineRecommender,
        "tfidf": nearest_neighbours.TFIDFRecommender,
        "bm25": nearest_neighbours.BM25Recommender,
    }
    return kinds[settings["kind"]](K=settings["K"])


def rectools_lists(make: Callable[[Settings, int], Any]) -> Lists:
    def lists(settings: Settings, matrix: Any, seed: int) -> Any:
        import pandas as pd
        from rectools.dataset import Dataset

        pairs = matrix.tocoo()
        frame = pd.DataFrame({"user_id": pairs.row, "item_id": pairs.col})
        frame["weight"], frame["datetime"] = 1.0, pd.Timestamp("2020-01-01")
        data = Dataset.construct(frame)
        model = make(settings, seed).fit(data)
        users = np.unique(pairs.row)
        found = model.recommend(users, dataset=data, k=K, filter_viewed=True)
        return by_rank(found["user_id"], found["rank"] - 1, found["item_id"], matrix.shape[0])

    return lists


def rectools_ease(settings: Settings, _seed: int) -> Any:
    from rectools.models import EASEModel

    return EASEModel(**settings, recommend_use_gpu_ranking=False)


def rectools_svd(settings: Settings, _seed: int) -> Any:
    from rectools.models import PureSVDModel

    # No seed: RecTools passes it in a form that newer SciPy rejects. Factors do not depend on it.
    return PureSVDModel(**settings, recommend_use_gpu_ranking=False)


def lenskit_lists(make: Callable[[Settings], Any]) -> Lists:
    def lists(settings: Settings, matrix: Any, seed: int) -> Any:
        import pandas as pd
        from lenskit.batch import recommend
        from lenskit.data import from_interactions_df
        from lenskit.pipeline import topn_pipeline
        from lenskit.random import set_global_rng
        from lenskit.training import TrainingOptions

        set_global_rng(seed)
        pairs = matrix.tocoo()
        frame = pd.DataFrame({"user_id": pairs.row, "item_id": pairs.col})
        pipeline = topn_pipeline(make(settings), n=K)
        pipeline.train(from_interactions_df(frame), TrainingOptions(rng=seed))
        found = recommend(pipeline, np.unique(pairs.row).tolist(), n=K, n_jobs=1).to_df()
        return by_rank(found["user_id"], found["rank"] - 1, found["item_id"], matrix.shape[0])

    return lists


def lenskit_items(settings: Settings) -> Any:
    from lenskit.knn import ItemKNNScorer

    return ItemKNNScorer(feedback="implicit", **settings)


def lenskit_als(settings: Settings) -> Any:
    from lenskit.als import ImplicitMFScorer

    return ImplicitMFScorer(use_ratings=False, **settings)


def lenskit_ease(settings: Settings) -> Any:
    from lenskit.knn import EASEScorer

    return EASEScorer(**settings)


def lenskit_slim(settings: Settings) -> Any:
    from lenskit.knn import SLIMScorer

    return SLIMScorer(**settings)


def by_rank(users: Any, ranks: Any, items: Any, n_users: int) -> Any:
    """Arrange the lines of lists as int [n_users, K], with -1 at the end of short lists."""
    lists = np.full((n_users, K), -1, dtype=np.int64)
    lists[np.asarray(users), np.asarray(ranks)] = np.asarray(items)
    return lists


Suggest = Callable[[Any], Settings]
MODELS: dict[str, tuple[Suggest, Lists]] = {
    "implicit-als": (
        lambda trial: {
            "factors": trial.suggest_int("factors", 16, 256, log=True),
            "regularization": trial.suggest_float("regularization", 1e-3, 100, log=True),
            "alpha": trial.suggest_float("alpha", 0.1, 50, log=True),
            "iterations": trial.suggest_int("iterations", 5, 30),
        },
        implicit_lists(implicit_als),
    ),
    "implicit-bpr": (
        lambda trial: {
            "factors": trial.suggest_int("factors", 16, 256, log=True),
            "regularization": trial.suggest_float("regularization", 1e-4, 0.1, log=True),
            "learning_rate": trial.suggest_float("learning_rate", 5e-3, 0.2, log=True),
            "iterations": trial.suggest_int("iterations", 20, 300, log=True),
        },
        implicit_lists(implicit_bpr),
    ),
    "implicit-item-item": (
        lambda trial: {
            "kind": trial.suggest_categorical("kind", ("cosine", "tfidf", "bm25")),
            "K": trial.suggest_int("K", 5, 500, log=True),
        },
        implicit_lists(implicit_items),
    ),
    "rectools-ease": (
        lambda trial: {"regularization": trial.suggest_float("regularization", 1, 5000, log=True)},
        rectools_lists(rectools_ease),
    ),
    "rectools-puresvd": (
        lambda trial: {"factors": trial.suggest_int("factors", 5, 256, log=True)},
        rectools_lists(rectools_svd),
    ),
    "lenskit-item-knn": (
        lambda trial: {
            "max_nbrs": trial.suggest_int("max_nbrs", 5, 500, log=True),
            "min_nbrs": trial.suggest_int("min_nbrs", 1, 5),
        },
        lenskit_lists(lenskit_items),
    ),
    "lenskit-als": (
        lambda trial: {
            "embedding_size": trial.suggest_int("embedding_size", 16, 256, log=True),
            "regularization": trial.suggest_float("regularization", 1e-3, 100, log=True),
            "weight": trial.suggest_float("weight", 0.1, 100, log=True),
            "epochs": trial.suggest_int("epochs", 5, 30),
        },
        lenskit_lists(lenskit_als),
    ),
    "lenskit-ease": (
        lambda trial: {"regularization": trial.suggest_float("regularization", 1, 5000, log=True)},
        lenskit_lists(lenskit_ease),
    ),
    "lenskit-slim": (
        lambda trial: {
            "l1_reg": trial.suggest_float("l1_reg", 0.01, 20, log=True),
            "l2_reg": trial.suggest_float("l2_reg", 1, 2000, log=True),
        },
        lenskit_lists(lenskit_slim),
    ),
}


def ndcg(lists: Any, truth: Any) -> float:
    """Return the mean NDCG@K over users with relevant items; `truth` is a CSR matrix of ones."""
    gains = 1.0 / np.log2(np.arange(2, K + 2))
    values = []
    for user in np.flatnonzero(np.diff(truth.indptr)):
        wanted = truth.indices[truth.indptr[user] : truth.indptr[user + 1]]
        found = np.isin(lists[user], wanted)
        values.append((found @ gains[: len(found)]) / gains[: len(wanted)].sum())
    return float(np.mean(values))


def main() -> None:
    question = json.loads(sys.argv[1])
    suggest, lists = MODELS[question["model"]]
    arrays = np.load(question["data"])
    shape = tuple(arrays["shape"])

    def part(name: str) -> Any:
        pairs = arrays[name]
        ones = np.ones(pairs.shape[1], dtype=np.float32)
        return sparse.csr_matrix((ones, (pairs[0], pairs[1])), shape=shape)

    inner, validation, train = part("inner"), part("validation"), part("train")
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    study = optuna.create_study(
        direction="maximize", sampler=optuna.samplers.TPESampler(seed=question["seed"])
    )

    def objective(trial: Any) -> float:
        return ndcg(lists(suggest(trial), inner, question["seed"]), validation)

    started = time.perf_counter()
    study.optimize(objective, n_trials=question["trials"])
    searched = time.perf_counter() - started
    settings = suggest(study.best_trial)
    started, cpu = time.perf_counter(), time.process_time()
    found = lists(settings, train, question["seed"])
    answer = {
        "settings": settings,
        "validation": study.best_value,
        "search_seconds": searched,
        "fit_and_list_seconds": time.perf_counter() - started,
        "fit_and_list_cpu_seconds": time.process_time() - cpu,
        "lists": np.asarray(found).tolist(),
    }
    print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main()
