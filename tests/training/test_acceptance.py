"""The trial before a promotion: who judges, and what the verdict is."""

import numpy as np
import pyarrow as pa

import nearline as nl
from nearline.data import Dataset, Split, hold_out, make_dataset, read_interactions
from nearline.models.popularity import Popularity
from nearline.training.acceptance import judge

NOW = 1_000_000.0
WAIT = 60.0


def clock() -> float:
    return NOW


def visits(people: int) -> pa.Table:
    """Half of the people go round six red things, half round six blue: five each, times rise."""
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
    """40 people who saw "first" and then "x", which is held out; one who saw "other"."""
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


def test_figures_by_hand() -> None:
    data, split = parted()
    right = Popularity().fit(data.take(only(data, "x")))  # answers x to everyone
    wrong = Popularity().fit(data.take(only(data, "other")))
    verdict, metrics = judge(right, wrong, split, seed=0)
    assert verdict.promote
    assert metrics["held_out_ndcg@10"] == 1.0
    assert "newest event of 40 users is 1.0000, and 0.0000 for the model" in verdict.reason
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
        # All 40 were trained on: the settings that serve were fitted anew without their last event.
        assert "not promoted: NDCG@10 on the newest event of 40 users is" in why
        assert "and 1.0000 for the model that serves" in why  # whoever goes round is foreseen
        assert why.endswith("significantly lower")
        state, why = message(rec)
        assert state == "done"
        assert why.startswith("promoted: NDCG@10 on the newest event of 40 users is 1.0000")


def test_those_judge_whose_events_the_serving_model_has_not_seen() -> None:
    with nl.Recommender(clock=clock) as rec:
        rec.fit(visits(40))
        for person in range(31):
            rec.observe(f"p{person}", "green", timestamp=900.0 + person)
        rec.put_item("late", text="a thing that the snapshot has not heard of")
        state, why = message(rec)
        assert state == "done"
        assert "newest event of 31 users" in why
        assert "and 0.0000 for the model that serves" in why  # it knows nothing of green


def test_too_few_to_compare() -> None:
    with nl.Recommender(clock=clock) as rec:
        rec.observe("a", "x")
        state, why = message(rec)
        assert (state, why) == ("done", "promoted: there is no active model; nothing was compared")
        assert message(rec, "popularity") == (
            "done",
            "promoted: 0 users have a newest event to hold out, fewer than 30; "
            "nothing was compared",
        )
    with nl.Recommender(config=nl.Config(trial_users=0), clock=clock) as rec:
        rec.fit(visits(40))
        assert message(rec, "popularity") == (
            "done",
            "promoted: trials are disabled; nothing was compared",
        )


def test_no_more_users_judge_than_asked_for() -> None:
    with nl.Recommender(config=nl.Config(trial_users=35), clock=clock) as rec:
        rec.fit(visits(40))
        assert "newest event of 35 users" in message(rec)[1]
