"""Composite rows: lists that are made from one item of the history."""

from pathlib import Path

import pyarrow as pa
import pytest

import nearline as nl
from nearline.errors import InvalidInput
from nearline.schema import RecommendationRequest

NOW = 1_700_000_000.0


def shop(path: Path) -> nl.Recommender:
    rows = [(f"u{n}", f"i{(3 * n + step) % 16}") for n in range(6) for step in range(5)]
    users, items = zip(*rows, strict=True)
    rec = nl.Recommender(path, clock=lambda: NOW + 100)
    return rec.fit(pa.table({"user_id": users, "item_id": items}), seed=1)


def test_a_row_is_made_from_the_newest_item_with_an_event_of_a_kind(tmp_path: Path) -> None:
    with shop(tmp_path / "shop") as rec:
        rec.put_scenario("bought", because="purchase", k=4)
        with pytest.raises(InvalidInput, match="not positive"):
            rec.put_scenario("bad", because="dislike")
        for when, (item, kind) in enumerate(
            [("i1", "purchase"), ("i6", "purchase"), ("i9", "view"), ("i2", "dislike")]
        ):
            rec.observe("new", item, kind, timestamp=NOW + when)
        answer = rec.answer(RecommendationRequest(user_id="new", scenario="bought", explain=True))
        assert answer.because == "i6"
        personal = [line for line in answer.items if line.tier == "personal"]
        assert personal
        assert {part.source for line in personal for part in line.reasons} <= {"i6", ""}
        listed = [line.item_id for line in answer.items]
        assert not {"i1", "i2", "i6", "i9"} & set(listed)
        only = rec.answer(RecommendationRequest(history=("i6",), k=4, exclude=("i1", "i2", "i9")))
        assert listed == [line.item_id for line in only.items]
        frame = rec.recommend_many(["new", "u1", "nobody"], scenario="bought").to_pydict()
        batch = zip(frame["user_id"], frame["item_id"], strict=True)
        assert [item for user, item in batch if user == "new"] == listed
        rec.observe("viewer", "i3")
        plain = rec.answer(RecommendationRequest(user_id="viewer", k=4))
        row = rec.answer(RecommendationRequest(user_id="viewer", scenario="bought"))
        assert row.because is None
        assert [line.item_id for line in row.items] == [line.item_id for line in plain.items]
