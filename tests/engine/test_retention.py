"""Retention: expired events are removed as if they had never been."""

from pathlib import Path

import pytest

import nearline as nl
from nearline.config import Config, read_settings
from nearline.errors import InvalidInput, UnknownUser
from nearline.log import open_log, url_of
from nearline.schema import Erased
from nearline.schema.retention import check_retention, cutoffs_at, is_expired

DAY = 86_400.0
NOW = 1_700_000_000.0
ROW = nl.Event(user_id="u", item_id="i", timestamp=NOW)
CONFIG = Config(retention={"view": "90d", "search": "1d"})
PERIODS = ["", "90", "d", "0d", "-1d", "1.5d", "90 d", "90D", "201y", "٩d", 90, None]


def events() -> list[nl.Event]:
    """Views of 100 and of 10 days ago, and purchases that are older."""
    made = []
    for user in range(6):
        for item in range(8):
            views = nl.Event(
                user_id=f"user-{user}",
                item_id=f"item-{(user + item) % 9}",
                timestamp=NOW - (100 if item % 2 else 10) * DAY + item,
            )
            made.append(views)
        made.append(
            nl.Event(
                user_id=f"user-{user}",
                item_id=f"item-{user}",
                event="purchase",
                timestamp=NOW - 400 * DAY,
            )
        )
    only_old = nl.Event(user_id="old-user", item_id="item-1", timestamp=NOW - 200 * DAY)
    return [*made, only_old]


def answers(rec: nl.Recommender) -> list[object]:
    users = [rec.user(f"user-{user}") for user in range(6)]
    lists = [[*rec.recommend(f"user-{user}", k=9, repeats="include")] for user in range(6)]
    similar = [[*rec.similar(f"item-{item}", k=9)] for item in range(9)]
    popular = [[*rec.popular(k=9)], [*rec.trending(k=9)]]
    return [users, lists, similar, popular]


def test_expired_events_are_as_if_they_had_never_been(tmp_path: Path) -> None:
    kept = [one for one in events() if not is_expired(one, cutoffs_at(CONFIG.retention, NOW))]
    assert 0 < len(kept) < len(events())
    with nl.Recommender(config=Config(file=""), clock=lambda: NOW) as fresh:
        fresh.append_events(events()).result()
        fresh.append_events([]).result()
        before = answers(fresh)
    with nl.Recommender(tmp_path / "never", clock=lambda: NOW) as never:
        # Items keep the order in which they were first seen.
        for one in events():
            never.put_item(one.item_id)
        never.append_events(kept).result()
        expected = answers(never)
    assert expected != before
    store = tmp_path / "shop"
    with nl.Recommender(store, config=CONFIG, clock=lambda: NOW) as rec:
        rec._scheduler.stop()
        for one in events():
            rec.put_item(one.item_id)
        rec.append_events(events()).result()
        assert rec.retain() == len(events()) - len(kept)
        assert rec.retain() == 0
        assert answers(rec) == expected
        with pytest.raises(UnknownUser):
            rec.user("old-user")
    with nl.Recommender(store, config=CONFIG, clock=lambda: NOW) as again:
        assert answers(again) == expected
    everything = b"".join(path.read_bytes() for path in store.rglob("*") if path.is_file())
    assert b"old-user" not in everything
    assert b"user-1" in everything


@pytest.mark.usefixtures("forked_jobs")
def test_a_job_finds_expired_events_in_a_process_of_its_own(tmp_path: Path) -> None:
    now = [NOW - 300 * DAY]
    with nl.Recommender(tmp_path / "shop", config=CONFIG, clock=lambda: now[0]) as rec:
        rec._scheduler.stop()
        many = [
            nl.Event(user_id="u", item_id=f"i{at % 3}", timestamp=now[0] - at)
            for at in range(1_200)
        ]
        rec.append_events([*many, nl.Event(user_id="v", item_id="i1", timestamp=now[0])]).result()
        assert rec._retention.remaining(rec._current.elapsed()) <= 0
        done = rec.jobs.wait(rec.expire().id)
        assert done.result == {"removed": 0}
        now[0] += 90 * DAY - 600.5
        assert rec._retention.remaining(rec._current.elapsed()) <= 0
        done = rec.jobs.wait(rec.expire().id)
        assert done.result == {"removed": 599}
        # The next events expire in the next second; searches are an hour apart.
        assert 3_000 < rec._retention.remaining(rec._current.elapsed()) <= 3_600
        assert len(rec.user("u").history) == 500
    with open_log(url_of(tmp_path / "shop" / "log.db"), read_only=True) as log:
        assert sum(isinstance(record, Erased) for _, record in log.read()) == 599


@pytest.mark.usefixtures("forked_jobs")
def test_memory_and_stores_without_retention() -> None:
    with nl.Recommender(clock=lambda: NOW) as rec:
        rec.observe("u", "i")
        with pytest.raises(InvalidInput, match=r"nearline\.toml"):
            rec.expire()
        assert rec._retention.remaining(0.0) == float("inf")
    with nl.Recommender(config=CONFIG, clock=lambda: NOW) as rec:
        rec.append_events(events()).result()
        rec.put_user("old-user", country="FR")
        assert rec.jobs.wait(rec.expire().id).result == {"removed": 25}
        assert rec.user("old-user").attributes == {"country": "FR"}


def test_periods() -> None:
    assert check_retention({"a": "2m", "b": "1y", "*": "3w"}) == {
        "a": 120,
        "b": 31_536_000,
        "*": 1_814_400,
    }
    for period in PERIODS:
        with pytest.raises(InvalidInput, match="view = "):
            check_retention({"view": period})
    with pytest.raises(InvalidInput, match="retention of 'view' is '90'"):
        Config(retention={"view": "90"})


def test_what_is_expired() -> None:
    cutoffs = cutoffs_at({"view": "1d", "*": "2d"}, NOW)
    row = nl.Event(user_id="u", item_id="i", timestamp=NOW - DAY)
    older = nl.Event(user_id="u", item_id="i", timestamp=NOW - DAY - 1)
    assert not is_expired(row, cutoffs)
    assert is_expired(older, cutoffs)
    bought = nl.Event(user_id="u", item_id="i", event="purchase", timestamp=NOW - DAY - 1)
    assert not is_expired(bought, cutoffs)
    position = nl.Event(user_id="u", item_id="i", timestamp=3.0)
    assert not is_expired(position, cutoffs)
    assert not is_expired(nl.Item(item_id="i", timestamp=1e8), cutoffs)


def test_the_file_of_settings(tmp_path: Path) -> None:
    (tmp_path / "nearline.toml").write_text('retention = { view = "90d", "*" = "2y" }\n')
    assert read_settings(tmp_path, None).config == {"retention": {"view": "90d", "*": "2y"}}
    (tmp_path / "nearline.toml").write_text('retention = { view = "90x" }\n')
    with pytest.raises(InvalidInput, match="90x"):
        read_settings(tmp_path, None)
