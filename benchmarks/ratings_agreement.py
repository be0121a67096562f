"""Agreement of rating neighbourhoods with those of Surprise under the same settings.

    python -m benchmarks.ratings_agreement

One fold of MovieLens 100K. With k = 40, predictions can differ if the 40th neighbour is as similar
as the 41st, because each library breaks ties differently. With all neighbours there are no such
ties, and the largest difference is due to rounding. Pairs for which Surprise finds no neighbour are
left out: Surprise predicts the mean there, and Nearline the baseline.
"""

import tempfile
from collections.abc import Iterator
from itertools import product
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from benchmarks import machine, peers
from benchmarks.ratings import SURPRISE, folds_of
from numpy.typing import NDArray

from nearline.data import Dataset, load_dataset, make_dataset
from nearline.models.base import Model
from nearline.models.capabilities import PredictsRatings
from nearline.models.registry import make_model

PREDICTIONS = {
    "KNNBasic": "average",
    "KNNWithMeans": "mean",
    "KNNWithZScore": "zscore",
    "KNNBaseline": "baseline",
}


class Case(NamedTuple):
    """One algorithm of Surprise, one similarity, one number of neighbours."""

    by_user: bool
    measure: str
    algorithm: str
    k: int

    def ours(self) -> Model:
        """Make the same model of this package."""
        shrinkage = 100.0 if self.measure == "pearson_baseline" else 0.0
        return make_model(
            "user_knn_ratings" if self.by_user else "item_knn_ratings",
            {
                "measure": self.measure,
                "prediction": PREDICTIONS[self.algorithm],
                "neighbours": self.k,
                "shrinkage": shrinkage,
            },
        )

    def theirs(self, ratings: Path, folder: Path) -> NDArray[Any]:
        """Return the predictions of Surprise for all ratings, NaN without neighbours."""
        question = {
            "path": str(ratings),
            "algorithm": self.algorithm,
            "settings": {
                "k": self.k,
                "sim_options": {"name": self.measure, "user_based": self.by_user},
            },
            "predictions": str(folder / "predicted.npy"),
        }
        peers.run("peer_surprise.py", question, python=peers.environment(*SURPRISE))
        predicted: NDArray[Any] = np.load(folder / "predicted.npy")
        return predicted


def compare(data: Dataset) -> Iterator[dict[str, Any]]:
    """Yield one row per case: the largest difference, and the share of pairs that differ."""
    users, items = data.user_of_each(), data.histories.items
    fold = (folds_of(data.n_interactions, 0) > 0).astype(np.int64)
    test = fold == 0
    train = data.take(~test)
    measures = ("cosine", "pearson", "pearson_baseline")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        path = folder / "ratings.npz"
        np.savez(path, users=users, items=items, ratings=data.values, fold=fold)
        for case in map(Case._make, product((True, False), measures, PREDICTIONS, (40, 10**6))):
            model = case.ours().fit(train)
            assert isinstance(model, PredictsRatings)
            found = model.predict(users[test], items[test])
            distance = np.abs(found - case.theirs(path, folder)[test])
            distance = distance[np.isfinite(distance)]
            yield {
                **case._asdict(),
                "pairs": len(distance),
                "largest": float(distance.max()),
                "share_above_1e-5": float((distance > 1e-5).mean()),
            }


def main() -> None:
    """Print the table and write it."""
    source = load_dataset("movielens-100k")
    rows = []
    for row in compare(make_dataset(source.interactions, source.items)):
        rows.append(row)
        print(
            f"{'user' if row['by_user'] else 'item'}  {row['measure']:18}{row['algorithm']:16}"
            f"k {row['k']:>8,}  pairs {row['pairs']:,}  largest difference {row['largest']:.1e}  "
            f"above 1e-5: {row['share_above_1e-5']:.2%}",
            flush=True,
        )
    print(f"written to {machine.write('ratings_agreement', {'surprise': SURPRISE[0]}, rows)}")


if __name__ == "__main__":
    main()
