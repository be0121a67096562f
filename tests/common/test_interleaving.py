"""Team-draft interleaving: fairness, order and credits."""

import random

from hypothesis import given
from hypothesis import strategies as st

from nearline.common.interleaving import credit, team_draft

LISTS = st.lists(st.sampled_from("abcdefghij"), unique=True)


@given(LISTS, LISTS, st.integers(1, 12), st.integers(0, 2**32))
def test_list_is_a_fair_draft(first: list[str], second: list[str], k: int, seed: int) -> None:
    found = team_draft(first, second, k, random.Random(seed))
    assert len(found.items) == len(found.teams) == min(k, len({*first, *second}))
    assert len(set(found.items)) == len(found.items)
    for at, (item, team) in enumerate(zip(found.items, found.teams, strict=True)):
        ranking = second if team else first
        # An item is the best of its ranker that the lines above do not contain.
        assert item == next(other for other in ranking if other not in found.items[:at])
    if first == second:
        assert list(found.items) == first[:k]


def test_teams_alternate_in_pairs_and_start_at_random() -> None:
    starts = []
    for seed in range(200):
        teams = team_draft("abcdef", "ghijkl", 6, random.Random(seed)).teams
        assert all(teams[at] != teams[at + 1] for at in (0, 2, 4))
        starts.append(teams[0])
    assert 60 < sum(starts) < 140


def test_credit_is_clicks_of_the_second_minus_clicks_of_the_first() -> None:
    assert credit([0, 1, 1, 0], [0, 1, 2, 2]) == 1
    assert credit([0, 1], []) == 0
