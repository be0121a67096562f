"""Counts for statistics with noise: what one user can change is bounded."""

import numpy as np

import nearline as nl
from nearline.recommend.bounded_counts import bounded_counts


def shop() -> nl.Recommender:
    rec = nl.Recommender()
    for item, labels in (("a", ["x", "y"]), ("b", ["x"]), ("c", []), ("d", ["y", "z"])):
        rec.put_item(item, text="tea", categories=labels)
    return rec


def counts_of(rec: nl.Recommender, of: str, per_user: int) -> dict[str, int]:
    names, counts = bounded_counts(of, per_user, rec._view())
    return dict(zip(names, counts.tolist(), strict=True))


def test_counts_by_hand() -> None:
    with shop() as rec:
        for user, items in (("ann", "aabd"), ("bob", "ba"), ("eve", "d")):
            for item in items:
                rec.observe(user, item)
        rec.observe("eve", "not in the catalogue")
        assert counts_of(rec, "users", 1) == {"users": 3}
        assert counts_of(rec, "items", 9) == {"a": 2, "b": 2, "c": 0, "d": 2}
        # The newest of ann, bob and eve that the catalogue has: d, a, d.
        assert counts_of(rec, "items", 1) == {"a": 1, "b": 0, "c": 0, "d": 2}
        assert counts_of(rec, "categories", 9) == {"x": 2, "y": 3, "z": 2}
        assert sum(counts_of(rec, "categories", 1).values()) == 3


def test_an_empty_store() -> None:
    with nl.Recommender() as rec:
        assert counts_of(rec, "items", 5) == {}
        assert counts_of(rec, "users", 5) == {"users": 0}
        rec.observe("ann", "no entry")
        assert counts_of(rec, "items", 5) == {}
        assert counts_of(rec, "categories", 5) == {}
        assert counts_of(rec, "users", 5) == {"users": 1}


def test_a_user_changes_counts_by_at_most_per_user() -> None:
    rng = np.random.default_rng(0)
    with shop() as rec:
        for user in range(30):
            for item in rng.choice(list("abcd"), rng.integers(1, 9)):
                rec.observe(f"u{user}", str(item))
        cases = [(of, most) for of in ("items", "categories") for most in (1, 2, 3)]
        before = {case: counts_of(rec, *case) for case in cases}
        changes = dict.fromkeys(cases, 0)
        for user in range(30):
            rec.forget(f"u{user}").result()
            for case in cases:
                after = counts_of(rec, *case)
                change = sum(abs(before[case][name] - after[name]) for name in after)
                changes[case] = max(changes[case], change)
                before[case] = after
        assert changes == {(of, most): most for of, most in cases}
