"""Attributes of users through the facade: stored, changed, erased, and kept by a store."""

from pathlib import Path

import pytest

import nearline as nl
from nearline.errors import InvalidInput, UnknownUser


def test_attributes_are_stored_changed_and_erased(tmp_path: Path) -> None:
    with nl.Recommender(tmp_path / "s") as rec:
        rec.put_user("ann", age=31, country="FR")
        rec.patch_user("ann", age=32, likes=["tea"])
        rec.patch_user("bob", vip=True)
        assert rec.user("ann").attributes == {"age": 32, "country": "FR", "likes": ["tea"]}
        assert rec.user("ann").history == ()
        rec.observe("ann", "tea")
        assert [past.item_id for past in rec.user("ann").history] == ["tea"]
        rec.checkpoint()
    with nl.Recommender(tmp_path / "s") as rec:
        assert rec.user("ann").attributes["age"] == 32
        assert rec.forget("ann").result() == 3
        with pytest.raises(UnknownUser):
            rec.user("ann")
    assert b"FR" not in (tmp_path / "s" / "log.db").read_bytes()
    assert b"FR" not in (tmp_path / "s" / "state.checkpoint").read_bytes()
    with nl.Recommender(tmp_path / "s") as rec:
        assert rec.user("bob").attributes == {"vip": True}
        with pytest.raises(UnknownUser):
            rec.user("ann")


def test_bad_attributes_store_nothing() -> None:
    rec = nl.Recommender()
    with pytest.raises(InvalidInput, match="omit unknown"):
        rec.put_user("ann", age=None)
    with pytest.raises(InvalidInput, match="finite"):
        rec.patch_user("ann", age=float("inf"))
    assert rec.offset == 0
