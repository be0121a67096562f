"""A hand-written baseline: implicit's ALS behind FastAPI on uvicorn; see `benchmarks.engine`.

Read events, port, factors and iterations as JSON from the first argument, fit a model, and serve
lists until the process is terminated, with the same path and the same fields as Nearline.
"""

# mypy: ignore-errors

import json
import sys
import uuid

import numpy as np
import pyarrow.parquet as pq
import uvicorn
from fastapi import FastAPI
from implicit.cpu.als import AlternatingLeastSquares
from scipy import sparse


def load(path):
    table = pq.read_table(path, columns=["user_id", "item_id"])
    users = table["user_id"].combine_chunks().dictionary_encode()
    items = table["item_id"].combine_chunks().dictionary_encode()
    pairs = (users.indices.to_numpy(), items.indices.to_numpy())
    shape = (len(users.dictionary), len(items.dictionary))
    ones = np.ones(len(table), dtype=np.float32)
    matrix = sparse.csr_matrix((ones, pairs), shape=shape)
    return matrix, users.dictionary.to_pylist(), items.dictionary.to_pylist()


def main(question):
    matrix, user_ids, item_ids = load(question["events"])
    model = AlternatingLeastSquares(
        factors=question["factors"],
        iterations=question["iterations"],
        random_state=0,
        num_threads=0,
    )
    model.fit(matrix, show_progress=False)
    index = {user_id: at for at, user_id in enumerate(user_ids)}
    app = FastAPI()

    @app.get("/readyz")
    async def ready():
        return {"status": "ready"}

    # A coroutine, because running each request in a thread would take longer than the list.
    @app.get("/v1/users/{user_id}/recommendations")
    async def recommend(user_id: str, k: int = 10):
        user = index[user_id]
        found, scores = model.recommend(user, matrix[user], N=k, filter_already_liked_items=True)
        lines = zip(found.tolist(), scores.tolist(), strict=True)
        return {
            "recommendation_id": uuid.uuid4().hex[:24],
            "user_id": user_id,
            "items": [
                {"item_id": item_ids[item], "score": score, "tier": "personal", "reasons": []}
                for item, score in lines
            ],
            "tier": "personal",
            "model": "als",
            "offset": 0,
        }

    uvicorn.run(app, port=question["port"], log_level="warning", access_log=False)


if __name__ == "__main__":
    main(json.loads(sys.argv[1]))
