"""Acceptance: which events are held out, and the verdict."""

import numpy as np
import pyarrow as pa

import nearline as nl
from nearline.data import Dataset, Split, hold_out, make_dataset, read_interactions
from nearline.models.popularity import Popularity
from nearline.training.acceptance import judge

NOW = 1_000_000.0
WAIT = 120.0


def clock() -> float:
    return NOW


def visits(people: int) -> pa.Table:
    """Half of the users cycle through six red items, half through six blue: five events each."""
    rows = [
        (
            f"p{person}",
            f"{'red' if person % 2 else 'blue'}-{(person // 2 + step) % 6}",
            100.0 * step + person,
        )
        for person in range(people)
        for step in range(5)
    ]
    users, items, times = zip(*rows, strict=True)
    return pa.table({"user_id": users, "item_id": items, "timestamp": times})


def parted() -> tuple[Dataset, Split]:
    """40 users who saw "first" and then "x", which is held out; one who saw "other"."""
    rows = pa.table(
        {
            "user_id": [f"u{n}" for n in range(40) for _ in range(2)] + ["z"],
            "item_id": ["first", "x"] * 40 + ["other"],
            "timestamp": [0.0, 1.0] * 40 + [0.0],
        }
    )
    data = make_dataset(read_interactions(rows))
    return data, hold_out(data, only(data, "x"))


def only(data: Dataset, item_id: str) -> np.ndarray:
    return np.asarray(data.histories.items == data.item_ids.index(item_id))


def test_metrics_and_verdict_by_hand() -> None:
    data, split = parted()
    right = Popularity().fit(data.take(only(data, "x")))  # answers x to everyone
    wrong = Popularity().fit(data.take(only(data, "other")))
    verdict, metrics = judge(right, wrong, split, seed=0)
    assert verdict.promote
    assert metrics["held_out_ndcg@10"] == 1.0
    assert "newest event of 40 users is 1.0000, and 0.0000 for the active model" in verdict.reason
    verdict, metrics = judge(wrong, right, split, seed=0)
    assert not verdict.promote
    assert metrics["held_out_ndcg@10"] == 0.0
    assert verdict.reason.endswith(
        "a difference of -1.0000 [-1.0000, -1.0000], significantly lower"
    )


def test_an_equal_model_is_promoted() -> None:
    data, split = parted()
    one, two = Popularity().fit(data), Popularity().fit(data)
    verdict, _ = judge(one, two, split, seed=0)
    assert verdict.promote
    assert verdict.reason.endswith("+0.0000 [+0.0000, +0.0000], not significantly lower")


def message(rec: nl.Recommender, model: str | None = None) -> tuple[str, str]:
    job = rec.jobs.wait(rec.train(model=model).id, WAIT)
    return job.state, job.message


def test_a_worse_model_is_refused_and_an_equal_one_promoted() -> None:
    with nl.Recommender(clock=clock) as rec:
        rec.fit(visits(40))
        before = rec.model_id
        state, why = message(rec, "popularity")
        assert (state, rec.model_id) == ("refused", before)
        # It was trained on all events, so its settings are fitted again without the newest ones.
        assert "not promoted: NDCG@10 on the newest event of 40 users is" in why
        assert "and 1.0000 for the active model" in why  # every user continues the circle
        assert why.endswith("], significantly lower")
        state, why = message(rec)
        assert state == "done"
        assert why.startswith("promoted: NDCG@10 on the newest event of 40 users is 1.0000")


def test_events_that_the_active_model_has_not_seen_are_held_out() -> None:
    with nl.Recommender(clock=clock) as rec:
        rec.fit(visits(40))
        for person in range(31):
            rec.observe(f"p{person}", "green", timestamp=900.0 + person)
        rec.put_item("late", text="a thing that the snapshot has not heard of")
        state, why = message(rec)
        assert state == "done"
        assert "newest event of 31 users" in why
        assert "and 0.0000 for the active model" in why  # it has never seen "green"


def test_too_few_users_to_compare() -> None:
    with nl.Recommender(clock=clock) as rec:
        rec.observe("a", "x")
        state, why = message(rec)
        assert (state, why) == ("done", "promoted: there is no active model; nothing was compared")
        assert message(rec, "popularity") == (
            "done",
            "promoted: users with a newest event to hold out: 0, fewer than 30; "
            "nothing was compared",
        )
    with nl.Recommender(config=nl.Config(trial_users=0), clock=clock) as rec:
        rec.fit(visits(40))
        assert message(rec, "popularity") == (
            "done",
            "promoted: trials are disabled; nothing was compared",
        )


def test_the_number_of_held_out_users_is_bounded() -> None:
    with nl.Recommender(config=nl.Config(trial_users=35), clock=clock) as rec:
        rec.fit(visits(40))
        assert "newest event of 35 users" in message(rec)[1]
