"""Detection of made-up profiles: scores against a dense decomposition, and pushed items."""

import json
from pathlib import Path

import numpy as np
from click.testing import CliRunner
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

import nearline as nl
from nearline.cli import main
from nearline.trust.profiles import (
    COMPONENTS,
    explained,
    originality,
    profile_report,
    suspects,
    unpopularity,
)

Longs = NDArray[np.int64]
N_ITEMS, KINDS, SIZE = 240, 11, 24


def people(rng: np.random.Generator, n: int) -> list[list[int]]:
    """Return profiles of people who choose items of two of eleven kinds, and few others."""
    found = []
    for _ in range(n):
        kinds = rng.choice(KINDS, 2, replace=False)
        usual = np.flatnonzero(np.isin(np.arange(N_ITEMS) % KINDS, kinds))
        mine = rng.choice(usual, SIZE - 2, replace=False).tolist()
        found.append([*mine, *rng.choice(N_ITEMS, 2, replace=False).tolist()])
    return found


def pairs(profiles: list[list[int]]) -> tuple[Longs, Longs]:
    users = np.repeat(np.arange(len(profiles)), [len(one) for one in profiles])
    return users, np.array([item for one in profiles for item in one], dtype=np.int64)


def dense(
    users: NDArray[np.int64], items: NDArray[np.int64], shape: tuple[int, int]
) -> list[float]:
    """Compute the scores of `explained` with a full decomposition of the table of residuals."""
    taken = np.zeros(shape)
    taken[users, items] = 1.0
    expected = np.outer(taken.sum(axis=1), taken.sum(axis=0)) / taken.sum()
    scale = np.where(expected > 0, expected, 1.0) ** 0.25
    residuals = (taken - expected) / scale
    left, values, _ = np.linalg.svd(residuals, full_matrices=False)
    total = (residuals**2).sum(axis=1)
    within = ((left * values)[:, :COMPONENTS] ** 2).sum(axis=1)
    return [a / b if b > 1e-12 else 0.0 for a, b in zip(within, total, strict=True)]


def test_scores_equal_those_of_a_dense_decomposition() -> None:
    rng = np.random.default_rng(3)
    users, items = pairs([sorted(set(one)) for one in people(rng, 150)])
    found = explained(users, items, 150, N_ITEMS)
    np.testing.assert_allclose(found, dense(users, items, (150, N_ITEMS)), atol=0.005)


@settings(deadline=None, max_examples=60)
@given(st.lists(st.sets(st.integers(0, 7)), min_size=1, max_size=12))
def test_scores_of_small_tables_are_exact_shares(profiles: list[set[int]]) -> None:
    """With at most eight items, ten components explain everything."""
    users, items = pairs([sorted(one) for one in profiles])
    found = explained(users, items, len(profiles), 8)
    assert ((found > -1e-9) & (found < 1 + 1e-6)).all()
    if len(users):
        whole = np.array(dense(users, items, (len(profiles), 8)))
        np.testing.assert_allclose(found[whole > 0], whole[whole > 0], atol=1e-6)


def test_real_people_are_not_suspected() -> None:
    for seed in range(5):
        users, items = pairs(people(np.random.default_rng(seed), 300))
        assert suspects(users, items, 300, N_ITEMS).targets == []


def test_profiles_that_push_an_item_are_found() -> None:
    rng = np.random.default_rng(1)
    real = people(rng, 300)
    fake = [[7, *rng.choice(np.arange(8, N_ITEMS), SIZE - 1, replace=False)] for _ in range(15)]
    users, items = pairs(real + fake)
    user_ids, item_ids = [f"u{n}" for n in range(315)], [f"i{n}" for n in range(N_ITEMS)]
    found = profile_report(users, items, user_ids, item_ids)
    assert [one.item_id for one in found.targets] == ["i7"]
    assert found.targets[0].users == sum(7 in one for one in real) + 15
    suspected = {one.user_id for one in found.profiles}
    made_up = {f"u{n}" for n in range(300, 315)}
    assert len(suspected & made_up) >= 0.8 * len(made_up)
    assert len(suspected & made_up) >= 0.9 * len(suspected)
    # The same profiles without a common item push nothing.
    users, items = pairs(real + [one[1:] for one in fake])
    assert suspects(users, items, 315, N_ITEMS).targets == []


def test_popularity_by_hand() -> None:
    # Items 0 to 3 have 4, 3, 2 and 1 users.
    users, items = pairs([[0, 1], [0, 1, 2], [0, 1, 2, 3], [0]])
    found = unpopularity(users, items, 5, 4)
    np.testing.assert_allclose(found, [0, 0, 0, 0, 0])
    users, items = pairs([[0, 1], [0, 1, 2], [0, 2, 3, 1], [0], [3], [1, 3]])
    # The users of 0 to 3 are 4, 4, 2 and 3.
    found = unpopularity(users, items, 6, 4)
    np.testing.assert_allclose(found, [0, 1 - 10 / 11, 0, 0, 1 - 3 / 4, 1 - 7 / 8])


def tastes(rng: np.random.Generator, n: int) -> list[list[int]]:
    """Return profiles of sizes from 10 to 90 in which low numbers are much more popular."""
    chances = 1 / (10 + np.arange(N_ITEMS))
    found = []
    for _ in range(n):
        mine = chances * rng.gamma(1.0, 1.0, N_ITEMS)
        size = int(rng.integers(10, 90))
        found.append(rng.choice(N_ITEMS, size, replace=False, p=mine / mine.sum()).tolist())
    return found


def test_popular_profiles_that_push_an_item_are_found() -> None:
    for seed in range(5):
        rng = np.random.default_rng(seed)
        real = tastes(rng, 300)
        users, items = pairs(real)
        assert suspects(users, items, 300, N_ITEMS).targets == []
        popular = np.argsort(-np.bincount(items, minlength=N_ITEMS))[:SIZE].tolist()
        users, items = pairs([*real, *([*popular, 200] for _ in range(9))])
        names = [f"u{n}" for n in range(309)]
        found = profile_report(users, items, names, [f"i{n}" for n in range(N_ITEMS)])
        assert [one.item_id for one in found.targets] == ["i200"]
        assert {one.user_id for one in found.profiles} == set(names[300:])
        assert {one.reason for one in found.profiles} == {"popular"}
        # The same profiles without a common item push nothing.
        users, items = pairs([*real, *([*popular, 200 + n] for n in range(9))])
        assert suspects(users, items, 309, N_ITEMS).targets == []


def test_originality_by_hand() -> None:
    """Four equal profiles have no label that fewer than three others have; three have only such."""
    different = [list(range(20 * n, 20 * n + 20)) for n in range(1, 6)]
    for copies, share in ((4, 0.0), (3, 1.0)):
        users, items = pairs([list(range(20))] * copies + different)
        found = originality(users, items, copies + 6, 120)  # the last has no items
        np.testing.assert_array_equal(found, [share] * copies + [1.0] * 6)


def test_originality_is_that_of_the_nearest_profiles() -> None:
    """In a narrow band, profiles resemble each other by 0.9, and share 0.9 ** 4 of their labels."""
    rng = np.random.default_rng(5)
    band = [rng.permutation(20)[:19].tolist() for _ in range(30)]
    users, items = pairs([sorted(one) for one in band])
    assert originality(users, items, 30, 20).max() < 0.5
    wide = [sorted(rng.permutation(200)[:19].tolist()) for _ in range(30)]
    users, items = pairs(wide)
    assert originality(users, items, 30, 200).min() > 0.9


def test_copied_profiles_that_push_an_item_are_found() -> None:
    for seed in range(5):
        rng = np.random.default_rng(seed)
        real = tastes(rng, 300)
        users, items = pairs(real)
        # Neither at random nor the most popular ones.
        ranked = np.argsort(-np.bincount(items, minlength=N_ITEMS))[SIZE : 2 * SIZE].tolist()
        users, items = pairs([*real, *([*ranked, 200] for _ in range(9))])
        names = [f"u{n}" for n in range(309)]
        found = profile_report(users, items, names, [f"i{n}" for n in range(N_ITEMS)])
        assert [one.item_id for one in found.targets] == ["i200"]
        assert {one.user_id for one in found.profiles} == set(names[300:])
        assert {(one.reason, one.score) for one in found.profiles} == {("copied", 0.0)}


def test_copies_without_a_rarer_item_push_nothing() -> None:
    """People who saw all of a series, and nothing else, are equal, and there is no target."""
    real = tastes(np.random.default_rng(0), 300)
    series = [list(range(N_ITEMS, N_ITEMS + 20))] * 12
    users, items = pairs(real + series)
    found = suspects(users, items, 312, N_ITEMS + 20)
    assert found.scores["copied"][300:].tolist() == [0.0] * 12
    assert "copied" not in {reason for reason, *_ in found.targets}


def test_too_few_interactions_are_no_fault() -> None:
    nothing = np.zeros(0, dtype=np.int64)
    assert profile_report(nothing, nothing, [], []).checked == 0
    assert profile_report(nothing, nothing, ["u"], ["i"]).profiles == ()
    users, items = pairs([[0, 1, 2, 3, 4, 5]] * 4 + [[0, 1]])
    found = suspects(users, items, 5, 6)
    for reason, scores in found.scores.items():  # the last has two items
        assert np.isnan(scores).tolist() == [reason == "copied"] * 4 + [True]
    assert found.targets == []  # everybody has everything


def test_the_command_reads_the_log(tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    fake = [[7, *rng.choice(np.arange(8, N_ITEMS), SIZE - 1, replace=False)] for _ in range(15)]
    profiles = people(rng, 300) + fake
    store = str(tmp_path / "shop")
    with nl.Recommender(store) as rec:
        rec.append_events(
            [
                nl.Event(user_id=f"u{user}", item_id=f"i{item}", timestamp=1.7e9 + at)
                for user, items in enumerate(profiles)
                for at, item in enumerate(items)
            ]
        ).result()
        rec.observe("u0", "i7", "dislike", timestamp=1.75e9)
        # While the store is open:
        run = CliRunner().invoke(main, ["audit", "profiles", "--store", store, "--json"])
    assert run.exit_code == 0, run.output
    found = json.loads(run.stdout)
    assert found["checked"] == 315
    assert [one["item_id"] for one in found["targets"]] == ["i7"]
    assert {one["user_id"] for one in found["profiles"]} >= {"u300", "u314"}
    text = CliRunner().invoke(main, ["audit", "profiles", "--store", store]).stdout
    assert "315 profiles checked" in text
    assert "u314" in text
