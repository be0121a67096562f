"""Without profiling, a user's lists are a stranger's, and all others' as if never seen."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

import nearline as nl
from nearline.errors import InvalidInput

NOW = 1.7e9
HER = "ann"
Shown = dict[str, Any]


def table(*, with_her: bool) -> pa.Table:
    rng = np.random.default_rng(3)
    rows = [
        (f"u{user}", f"i{item}", 1.6e9 + 1_000.0 * user + step)
        for user in range(40)
        for step, item in enumerate(rng.choice(30, 6, replace=False))
    ]
    hers = [(HER, f"i{item}", 1.65e9 + step) for step, item in enumerate((1, 2, 3, 5, 8))]
    users, items, times = zip(*rows[:60], *(hers if with_her else []), *rows[60:], strict=True)
    return pa.table({"user_id": users, "item_id": items, "timestamp": times})


def opened(path: Path | None = None) -> nl.Recommender:
    return nl.Recommender(path, clock=lambda: NOW)


def filled(path: Path | None = None, *, with_her: bool = True) -> nl.Recommender:
    rec = opened(path)
    items = [
        nl.Item(item_id=f"i{n}", timestamp=1.5e9, text=f"word{n % 4}", categories=[f"c{n % 3}"])
        for n in range(30)
    ]
    rec.put_items(items).result()
    rec.add(table(with_her=with_her))
    rec.put_user("u1", age=30)
    if with_her:
        rec.put_user(HER, age=30)
    return rec


def shown(rec: nl.Recommender, user_id: str, **options: Any) -> Any:
    found = rec.answer(nl.schema.RecommendationRequest(user_id=user_id, explain=True, **options))
    return [(one.item_id, one.tier, round(one.score, 9), one.reasons) for one in found.items]


def everything(rec: nl.Recommender) -> Shown:
    """What others see, and what a stranger sees."""
    users = [f"u{n}" for n in range(40)] + ["nobody"]
    return {
        "lists": [shown(rec, user) for user in users],
        "popular": [(one.item_id, one.score) for one in rec.popular(30)],
        "similar": [[(x.item_id, round(x.score, 9)) for x in rec.similar(f"i{n}")] for n in (1, 5)],
        "audience": [one.user_id for one in rec.audience("i9", k=50)],
    }


def test_an_objection_is_as_never_seen_and_a_later_consent_as_never_objected() -> None:
    with filled() as rec, filled(with_her=False) as never:
        before = everything(rec), shown(rec, HER)
        assert before[1] != shown(rec, "nobody")
        rec.put_consent(HER, profiling=False, purposes=["newsletter"])
        assert everything(rec) == everything(never)
        assert shown(rec, HER) == shown(never, "nobody")
        said = rec.user(HER)
        assert (said.profiling, said.history, said.attributes) == (False, (), {"age": 30})
        # Later events are stored, and do not count.
        rec.observe(HER, "i20", timestamp=NOW - 5)
        rec.critique(HER, not_="i9", lasting=True)
        assert shown(rec, HER) == shown(never, "nobody")
        rec.put_consent(HER, profiling=True)
        rec.delete_event("no such").result()
        with filled() as other:
            other.observe(HER, "i20", timestamp=NOW - 5)
            other.critique(HER, not_="i9", lasting=True)
            assert everything(rec) == everything(other)
            assert shown(rec, HER) == shown(other, HER)


@pytest.mark.parametrize("trained", ["not", "before", "after"])
def test_an_objection_survives_a_restart_and_a_training(tmp_path: Path, trained: str) -> None:
    with filled(tmp_path / "hers") as rec, filled(tmp_path / "none", with_her=False) as never:
        if trained == "before":
            rec.fit()
        rec.put_consent(HER, profiling=False)
        if trained == "after":
            rec.fit()
            never.fit()
            assert everything(rec) == everything(never)
        expected = everything(rec)
    with opened(tmp_path / "hers") as again:
        assert everything(again) == expected
        assert not again.consent(HER).profiling
        assert shown(again, HER) == shown(again, "nobody")
    (tmp_path / "hers" / "state.checkpoint").unlink()
    with opened(tmp_path / "hers") as replayed:
        assert everything(replayed) == expected


def test_erasure_forgets_the_choice() -> None:
    with filled() as rec:
        rec.put_consent(HER, profiling=False)
        assert rec.forget(HER).result() == 7
        assert rec.consent(HER).timestamp is None
        rec.observe(HER, "i3")
        assert shown(rec, HER) != shown(rec, "nobody")


ASK: list[Callable[[nl.Recommender, str], Any]] = [
    lambda rec, user: shown(rec, user, profiling=False),
    lambda rec, user: shown(rec, user, profiling=False, history=("i1", "i2")),
    lambda rec, user: rec.recommend_many([user], profiling=False).column("item_id").to_pylist(),
    lambda rec, user: [(x.item_id, x.score) for x in rec.rank(user, ["i7", "i4"], profiling=False)],
    lambda rec, user: rec.explain(user, "i7", profiling=False).parts,
]


@pytest.mark.parametrize("ask", ASK)
def test_a_request_without_profiling_gets_the_list_of_a_stranger(
    ask: Callable[[nl.Recommender, str], Any],
) -> None:
    with filled() as rec:
        rec.critique(HER, not_="i9", lasting=True)
        assert ask(rec, HER) == ask(rec, "nobody")


def test_no_profiling_is_the_same_for_one_user_and_for_many() -> None:
    with filled() as rec:
        rec.put_consent(HER, profiling=False)
        many = rec.recommend_many([HER, "u1", "nobody"], k=5).to_pylist()
        for user in (HER, "u1", "nobody"):
            rows = [(row["item_id"], row["score"]) for row in many if row["user_id"] == user]
            assert rows == [(one.item_id, one.score) for one in rec.recommend(user, k=5)]


def test_implied_impressions_of_an_objector_are_not_stored() -> None:
    config = nl.Config(imply_impressions=True)
    with nl.Recommender(config=config, clock=lambda: NOW) as rec:
        rec.put_item("i", text="x")
        rec.put_consent(HER, profiling=False)
        rec.recommend(HER)
        rec.recommend("bob", profiling=False)
        rec.recommend("eve")
        rec._impressions.flush()
        state = rec._current.deployment.state
        assert [len(state.showings.of(user)) for user in (HER, "bob", "eve")] == [0, 0, 1]


def test_deleted_tags_change_the_next_list() -> None:
    with filled() as rec:
        tags = {one.tag: one for one in rec.tags(HER)}
        assert set(tags) == {"c0", "c1", "c2"}
        assert tags["c2"].items == 3
        assert sum(one.weight for one in tags.values()) == pytest.approx(1.0)
        before = shown(rec, HER)
        rec.delete_tag(HER, "c2").result()
        assert {one.tag for one in rec.tags(HER)} == {"c0", "c1"}
        after = shown(rec, HER, k=30)
        assert after[:10] != before
        sources = {part.source for line in after for part in line[3]}
        assert not sources & {"i2", "i5", "i8"}
        seen = {line[0] for line in after}
        assert not seen & {"i1", "i2", "i3", "i5", "i8"}  # still known as seen
        many = rec.recommend_many([HER], k=30).column("item_id").to_pylist()
        assert many == [line[0] for line in after]
        rec.observe(HER, "i11", timestamp=NOW + 5)
        assert "c2" in {one.tag for one in rec.tags(HER)}


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"profiling": "no"}, "profiling"),
        ({"profiling": None}, "profiling"),
        ({"profiling": False, "purposes": "all"}, "purposes"),
        ({"profiling": False, "purposes": [1]}, "purposes"),
        ({"profiling": False, "purposes": [str(n) for n in range(51)]}, "purposes"),
    ],
)
def test_bad_choices_are_refused(fields: dict[str, Any], field: str) -> None:
    with nl.Recommender() as rec:
        with pytest.raises(InvalidInput) as refused:
            rec.put_consent("a", **fields)
        assert refused.value.field == field
        assert rec.offset == 0
