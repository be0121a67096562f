"""Responses to batch requests."""

from itertools import groupby
from operator import itemgetter
from typing import Any

import msgspec

from nearline.engine import Recommender
from nearline.schema import ListOptions, ScoredItem, check_id, narrowed
from nearline.server.bodies import BatchIn, BatchOut, UserItems
from nearline.server.decoding import convert_each


def answer_batch(engine: Recommender, question: BatchIn) -> Any:
    """Compute the lists of many users; return a `BatchOut`, encoded as JSON.

    The function returns when all lists are computed, so it must be called in a thread. A user who
    occurs twice in the request occurs twice in the answer.
    """
    import narwhals as nw  # slow to import

    convert_each(question.user_ids, lambda user_id: check_id(user_id, "user_ids"))
    users = list(dict.fromkeys(question.user_ids))
    options = msgspec.structs.asdict(narrowed(question, ListOptions))
    while True:
        model, offset = engine.model_id, engine.offset
        frame = engine.recommend_many(users, **options)
        if engine.model_id == model:
            break  # otherwise a promotion came in between, and the lists may be of either model
    # The frame has the type of the training data: pandas, polars or Arrow.
    columns = nw.from_native(frame, eager_only=True).to_dict(as_series=False)
    rows = zip(columns["user_id"], columns["item_id"], columns["score"], strict=True)
    lists = {
        user_id: [ScoredItem(item_id, score) for _, item_id, score in group]
        for user_id, group in groupby(rows, key=itemgetter(0))
    }
    answer = BatchOut(
        items=[
            UserItems(user_id=user_id, items=lists.get(user_id, []))
            for user_id in question.user_ids
        ],
        model=model,
        offset=offset,
    )
    return msgspec.json.encode(answer)
