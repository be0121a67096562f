"""Items of few users are withheld from lists that all users see."""

from pathlib import Path

import pytest

import nearline as nl
from nearline.config import Config
from nearline.errors import InvalidInput
from nearline.sealing import finding

NOW = 1_700_000_000.0


def filled(path: Path | None = None, **settings: object) -> nl.Recommender:
    """Item i<n> has n users; one user has many events with i1."""
    config = Config(**settings)  # type: ignore[arg-type]
    rec = nl.Recommender(path, config=config, clock=lambda: NOW)
    for item in range(1, 8):
        rec.put_item(f"i{item}")
        for user in range(item):
            rec.observe(f"u{user}", f"i{item}", timestamp=NOW - item)
    for _ in range(30):
        rec.observe("u0", "i1", "purchase", timestamp=NOW)
    rec.put_item("nobody")
    return rec


def shown(rec: nl.Recommender, method: str, **options: object) -> set[str]:
    return {line.item_id for line in getattr(rec, method)(k=20, **options)}


@pytest.mark.parametrize("least", [0, 1, 3, 5, 8])
@pytest.mark.parametrize("method", ["popular", "trending"])
def test_items_of_few_users_are_withheld(least: int, method: str) -> None:
    with filled(least_people=least) as rec:
        expected = {f"i{n}" for n in range(1, 8) if n >= least} | {"nobody"}
        assert shown(rec, method) >= expected - {"nobody"}
        assert shown(rec, method) <= expected
        boosted = shown(rec, method, boost="item_id == 'i1' ? 9.0 : 1.0")
        assert boosted == shown(rec, method)


def test_similar_items_and_audiences_too() -> None:
    with filled() as rec:
        assert "i2" in {line.item_id for line in rec.similar("i7", k=20)}
    with filled(least_people=3) as rec:
        assert not rec.similar("i2")
        assert {line.item_id for line in rec.similar("i7", k=20)} <= {f"i{n}" for n in range(3, 8)}
        assert rec.audience("i2") == []
        assert rec.audience("i3") != []


def test_counts_follow_events_erasures_and_objections() -> None:
    def similar() -> set[str]:
        return {line.item_id for line in rec.similar("i7", k=20)}

    with filled(least_people=3) as rec:
        for _ in range(2):
            assert "i2" not in similar()
            assert "i3" in similar()
        rec.observe("u5", "i2", timestamp=NOW)
        assert {"i2", "i3"} <= similar()
        rec.forget("u5").result()
        assert "i2" not in similar()
        rec.observe("u6", "i2", timestamp=NOW)
        assert "i2" in similar()
        rec.put_consent("u6", profiling=False)
        assert "i2" not in similar()
        rec.observe("u3", "i9", timestamp=NOW)
        rec.put_consent("u6", profiling=True)
        assert "i2" in similar()
        assert rec.similar("i9") == []


def test_sealed_stores_withhold_by_default(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NEARLINE_MASTER_KEY", "11" * 32)
    with filled(tmp_path, seal="env:NEARLINE_MASTER_KEY") as rec:
        assert rec.least_people == 20
        assert shown(rec, "popular") <= {"nobody"}
    finding._unlocked.clear()
    with filled() as rec:
        assert rec.least_people == 0


def test_a_number_below_zero_is_refused() -> None:
    with pytest.raises(InvalidInput, match="least_people"):
        Config(least_people=-1)
