"""The default installation, which has no SciPy: what works, and what says that it needs it."""

import subprocess
import sys

PROGRAM = """
import sys
from dataclasses import replace
sys.modules["scipy"] = None  # as if it were not installed
import numpy as np
import nearline as nl
from nearline.data.dataset import Histories
from nearline.evaluation import metrics
from nearline.evaluation.experiments.sample_ratio import sample_ratio
from nearline.kernels.posteriors import best_arm_probabilities
from nearline.models.registry import make_model
from tests.models.synthetic import dataset, shop

data, _ = shop()
rated = replace(data, values=np.arange(data.n_interactions, dtype=np.float32) % 5)
for name in ("item_graph", "implicit_als", "content", "spectral_filter", "user_knn", "slim"):
    model = make_model(name, {}).fit(data)
    assert (model.recommend_from(data.histories, 5).items[:, 0] >= 0).any(), name
assert metrics.diversity(np.array([[0, 1]]), np.eye(2))[0] == 1.0
assert best_arm_probabilities(np.array([3.0, 1.0]), np.array([1.0, 3.0]))[0] > 0.8
assert sample_ratio([50, 50], [1, 1]).sound
for name in ("ease", "svd", "als", "bpmf", "hybrid_ratings", "svdpp"):
    try:
        make_model(name, {}).fit(rated).score_many(rated.rated().histories)
    except nl.errors.MissingExtra as error:
        assert "pip install 'nearline[classic]'" in str(error), error
    else:
        raise AssertionError(name)
# Small matrices are decomposed by NumPy, and a trained model needs no SciPy.
small = dataset([[0, 1], [1, 2]], 3)
small = make_model("svd", {}).fit(replace(small, values=np.ones(4, np.float32)))
small.score_many(Histories.from_rows([[0]]))
print("done", [name for name in sys.modules if name.startswith("scipy.")])
"""


def test_without_scipy() -> None:
    done = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True)
    assert done.stdout.strip() == "done []", done.stderr
