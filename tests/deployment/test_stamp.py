"""The stamp: equal in every process with the same log and model, different after every change."""

from pathlib import Path
from threading import Event
from typing import Any

import pyarrow as pa
import pytest

import nearline as nl
from nearline.deployment.online_learner import OnlineLearner
from nearline.deployment.stamp import Stamp
from nearline.testing.inspector import inspect


def visits(*rows: tuple[str, str]) -> pa.Table:
    users, items = zip(*rows, strict=True)
    times = [1e9 + n for n in range(len(rows))]
    return pa.table({"user_id": users, "item_id": items, "timestamp": times})


SHOP = visits(("u", "a"), ("u", "b"), ("v", "a"), ("v", "b"), ("w", "c"))


def test_stamp_is_model_offset_and_erasures(tmp_path: Path) -> None:
    with nl.Recommender(tmp_path / "shop") as rec:
        assert rec.stamp == Stamp("untrained", 0, 0)
        rec.fit(SHOP)
        assert rec.stamp == Stamp(rec.model_id, 5, 0)
        rec.observe("x", "a")
        assert rec.stamp == Stamp(rec.model_id, 6, 0)
        rec.forget("w").result()
        assert rec.stamp == Stamp(rec.model_id, 6, 1)
        rec.forget("nobody").result()
        assert rec.stamp == Stamp(rec.model_id, 6, 1)


def test_stamps_of_two_engines_with_the_same_log_and_model_are_equal(tmp_path: Path) -> None:
    with nl.Recommender(tmp_path / "shop") as rec:
        rec.fit(SHOP)
        rec.put_item("d", text="tea")
        rec.forget("w").result()
        rec.observe("x", "a")
        rec.save(tmp_path / "copy")
        stamp = rec.stamp
        with nl.Recommender.load(tmp_path / "copy") as copy:
            assert copy.stamp == stamp == Stamp(rec.model_id, 7, 1)
            copy.observe("x", "b")
            assert copy.stamp != stamp
            rec.observe("x", "b")
            assert copy.stamp == rec.stamp
    with nl.Recommender(tmp_path / "shop") as again:
        assert again.stamp == Stamp(again.model_id, 8, 1)


def test_promotion_and_rollback_change_the_stamp(tmp_path: Path) -> None:
    with nl.Recommender(tmp_path / "shop") as rec:
        first = rec.fit(SHOP).model_id
        second = rec.fit(seed=1).model_id
        assert rec.stamp == Stamp(second, 5, 0)
        rec.versions.rollback()
        assert rec.stamp == Stamp(first, 5, 0)
        rec.versions.promote(second)
        assert rec.stamp == Stamp(second, 5, 0)


def test_there_is_no_stamp_until_the_model_has_learned_an_import() -> None:
    with nl.Recommender() as rec:
        rec.fit(SHOP)
        before = rec.stamp
        seen: list[Stamp | None] = []
        more = visits(("x", "a"), ("x", "c"), ("y", "a"), ("y", "c"))
        rec.add(more, progress=lambda *_: seen.append(rec.stamp))
        assert seen
        assert set(seen) == {None}
        assert rec.stamp is None  # the model learns with the next answer
        rec.recommend("x")
        assert before is not None
        assert rec.stamp == Stamp(before.model, 9, 0)


def test_failed_import_leaves_no_stamp_until_the_next_answer() -> None:
    def fail(*_: object) -> None:
        raise ZeroDivisionError

    with nl.Recommender() as rec:
        rec.fit(SHOP)
        with pytest.raises(ZeroDivisionError):
            rec.add(visits(("x", "a")), progress=fail)
        assert rec.stamp is None
        rec.recommend("x")
        assert rec.stamp is not None


def test_stamp_changes_only_after_the_model_has_learned(monkeypatch: pytest.MonkeyPatch) -> None:
    with nl.Recommender() as rec:
        rec.fit(SHOP)
        learned = rec.stamp
        seen: list[tuple[Stamp | None, int]] = []

        def watch(name: str) -> None:
            method = getattr(OnlineLearner, name)

            def watched(self: OnlineLearner, *arguments: Any) -> None:
                seen.append((rec.stamp, rec.offset))
                method(self, *arguments)

            monkeypatch.setattr(OnlineLearner, name, watched)

        for name in ("put_items", "add_events", "forget"):
            watch(name)
        rec.observe("x", "a")
        after = rec.stamp
        rec.forget("u").result()
        assert learned is not None
        # The state is ahead of the stamp while the model learns the event.
        assert seen == [(learned, 6), (after, 6)]
        assert after == Stamp(learned.model, 6, 0)
        assert rec.stamp == Stamp(learned.model, 6, 1)


def test_logs_in_memory_share_no_stamp() -> None:
    """Popularity of both tables is equal, and so are model and offset: the histories differ."""
    config = nl.Config(model="popularity")
    with nl.Recommender(config=config) as rec:
        empty = rec.stamp
        rec.fit(visits(("u", "a"), ("v", "b")))
        first, seen = rec.stamp, {line.item_id for line in rec.recommend("u")}
        rec.fit(visits(("v", "a"), ("u", "b")))
        second, others = rec.stamp, {line.item_id for line in rec.recommend("u")}
        assert seen != others
        assert first is not None
        assert second is not None
        assert (first.offset, first.erasures) == (second.offset, second.erasures)
        rec.fit()
        assert len({empty, first, second, rec.stamp}) == 4
    with nl.Recommender() as other:
        assert other.stamp != empty


def test_no_stamp_while_a_catalogue_is_being_learned(tmp_path: Path) -> None:
    learning, gate = Event(), Event()
    with nl.Recommender(tmp_path / "shop") as rec:
        rec.fit(SHOP)
        model: Any = inspect(rec).model
        put_items = model.put_items

        def put_slowly(*arguments: Any) -> None:
            learning.set()
            assert gate.wait(120)
            put_items(*arguments)

        model.put_items = put_slowly
        entries = [nl.Item(item_id=f"new{n}", timestamp=1e9, text="tea") for n in range(100)]
        stored = rec.put_items(entries)
        assert learning.wait(120)
        assert rec.stamp is None
        gate.set()
        stored.result(120)
        assert rec.stamp == Stamp(rec.model_id, 105, 0)
