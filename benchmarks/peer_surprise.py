"""Driver for Surprise: fit one algorithm on every fold and report its errors.

The question contains the path of an .npz file with users, items, ratings and folds, the algorithm,
its settings, and optionally the path to which predictions are written.
"""

import json
import sys
import time

import numpy as np
import surprise  # type: ignore[import-not-found,unused-ignore]


def main() -> None:
    """Fit, predict, and print the errors of each fold as JSON."""
    question = json.loads(sys.argv[1])
    arrays = np.load(question["path"])
    users, items = arrays["users"].tolist(), arrays["items"].tolist()
    ratings, fold = arrays["ratings"].tolist(), arrays["fold"]
    reader = surprise.Reader(rating_scale=(min(ratings), max(ratings)))
    rows = list(zip(users, items, ratings, [None] * len(users), strict=True))
    predicted = np.full(len(rows), np.nan)
    folds = []
    for number in range(int(fold.max()) + 1):
        data = surprise.Dataset(reader)
        train = data.construct_trainset([rows[at] for at in np.flatnonzero(fold != number)])
        test = np.flatnonzero(fold == number)
        algorithm = getattr(surprise, question["algorithm"])(verbose=False, **question["settings"])
        np.random.seed(number)  # noqa: NPY002 (the generator that Surprise uses)
        start, cpu = time.perf_counter(), time.process_time()
        algorithm.fit(train)
        fitted, fitted_cpu = time.perf_counter() - start, time.process_time() - cpu
        start = time.perf_counter()
        found = algorithm.test([rows[at][:3] for at in test])
        seconds = time.perf_counter() - start
        # Without neighbours, Surprise returns a mean; such predictions are not compared.
        own = [p.est if p.details.get("actual_k", 1) else np.nan for p in found]
        predicted[test] = [
            np.nan if p.details["was_impossible"] else value
            for p, value in zip(found, own, strict=True)
        ]
        distance = np.array([p.est - p.r_ui for p in found])
        folds.append(
            {
                "rmse": float(np.sqrt((distance**2).mean())),
                "mae": float(np.abs(distance).mean()),
                "fit_seconds": fitted,
                "fit_cpu_seconds": fitted_cpu,
                "predict_seconds": seconds,
            }
        )
    if "predictions" in question:
        np.save(question["predictions"], predicted)
    print(json.dumps({"folds": folds}))


if __name__ == "__main__":
    main()
