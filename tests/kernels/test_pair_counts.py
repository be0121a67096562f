"""Counts of pairs: by hand, against the oracle, and event by event against a whole log."""

from collections import defaultdict
from itertools import pairwise

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from tests import naive
from tests.kernels.test_edges import as_lists, ragged

from nearline.kernels.counted_edges import KEY, Edges, apply_changes, make_table, merged, rehash
from nearline.kernels.edges import MOST, UNIT, Rows, pair_edges, steps_of, units
from nearline.kernels.pair_counts import Counts, changed_pairs, pair_counts, strongest
from nearline.kernels.row_factors import EQUAL

N_ITEMS = 5
# (user, item, time, weight), in order of arrival; times collide and run backwards.
EVENT = st.tuples(
    st.integers(0, 2),
    st.integers(0, N_ITEMS - 1),
    st.integers(0, 5),
    st.sampled_from([0.0, 0.3, 1.0, 2.0]),
)
Event = tuple[int, int, int, float]
Pairs = dict[tuple[int, int], int]


def histories(log: list[Event], *, by_time: bool) -> tuple[Rows, NDArray[np.float64]]:
    """Rows of users 0-2: in order of time (and arrival), or of arrival alone."""
    mine = [[e for e in log if e[0] == user] for user in range(3)]
    if by_time:
        mine = [sorted(events, key=lambda e: e[2]) for events in mine]
    rows = ragged([[e[1] for e in events] for events in mine], [[e[3] for e in es] for es in mine])
    return rows, np.array([float(e[2]) for events in mine for e in events])


def as_pairs(counts: Counts) -> Pairs:
    sources = np.repeat(np.arange(len(counts.indptr) - 1), np.diff(counts.indptr))
    keys = zip(sources.tolist(), counts.items.tolist(), strict=True)
    return dict(zip(keys, counts.units.tolist(), strict=True))


def steps(reach: int) -> NDArray[np.float64]:
    forward = np.arange(1, reach + 1, dtype=np.float64) ** -0.6
    return steps_of(forward, 0.14 * forward)


def test_units_by_hand() -> None:
    assert [units(x) for x in (1.0, 0.5, 0.0, -3.0, float("nan"))] == [2**30, 2**29, 0, 0, 0]
    assert units(1e30) == MOST


def test_counts_by_hand() -> None:
    counts = pair_counts(ragged([[0, 1, 0]]), steps_of(np.ones(1), np.full(1, 0.5)), 2, most=9)
    # 0 then 1 counts 1, 1 then 0 counts 1; against time half of each.
    assert as_pairs(counts) == {(0, 1): int(1.5 / UNIT), (1, 0): int(1.5 / UNIT)}


@settings(deadline=None)
@given(st.lists(EVENT, max_size=30), st.integers(1, 4), st.integers(1, 5))
def test_strongest_counts_are_the_edges(log: list[Event], reach: int, k: int) -> None:
    rows, _ = histories(log, by_time=True)
    source, target = np.arange(1.0, N_ITEMS + 1), np.sqrt(np.arange(1.0, N_ITEMS + 1))
    counts = pair_counts(rows, steps(reach), N_ITEMS, most=N_ITEMS)
    kept = strongest(counts, source, target, 0.5, top_k=k)
    edges = pair_edges(rows, steps(reach), source=source, target=target, offset=0.5, top_k=k)
    for item, (mine, theirs) in enumerate(zip(as_lists(kept), as_lists(edges), strict=True)):
        divided = {j: count / (source[item] * target[j] + 0.5) for j, count in mine}
        assert sorted(divided) == [j for j, _ in mine] == sorted(j for j, _ in theirs)
        np.testing.assert_allclose([divided[j] for j, _ in theirs], [v for _, v in theirs], 1e-6)


@settings(deadline=None)
@given(st.lists(EVENT, max_size=30), st.integers(1, 3))
def test_truncated_rows_keep_the_largest_counts(log: list[Event], most: int) -> None:
    rows, _ = histories(log, by_time=True)
    everything = pair_counts(rows, steps(3), N_ITEMS, most=N_ITEMS)
    kept = as_pairs(pair_counts(rows, steps(3), N_ITEMS, most=most))
    by_row: dict[int, dict[int, float]] = defaultdict(dict)
    for (i, j), count in as_pairs(everything).items():
        by_row[i][j] = count
    assert kept == {
        (i, j): count for i, row in by_row.items() for j, count in naive.top_k(row, most)
    }


def test_pairs_of_long_rows_count_less() -> None:
    """Rows of two and three entries; dislikes and unknown items are no part of the length."""
    rows = ragged([[0, 1], [0, 1, 2, -1]])
    rows.weights[-2] = 1.0
    shares = np.array([9.0, 9.0, 1.0, 0.5])
    counts = as_pairs(pair_counts(rows, steps_of(np.ones(9), np.ones(9)), 3, most=9, shares=shares))
    one = round(1 / UNIT)
    assert counts[0, 1] == counts[1, 0] == one + one // 2
    assert counts[0, 2] == counts[2, 1] == one // 2


@settings(deadline=None, max_examples=500)
@given(
    st.lists(EVENT, max_size=24),
    st.integers(0, 24),
    st.integers(1, 4),
    st.sampled_from([[1.0], [1.0, 1.0, 0.5, 0.5, 0.3, 0.1]]),
)
def test_changes_give_the_counts_of_the_longer_log(
    log: list[Event], cut: int, reach: int, by_length: list[float]
) -> None:
    shares = np.array(by_length)
    totals: Pairs = defaultdict(int)
    old, old_times = histories(log[:cut], by_time=True)
    totals.update(as_pairs(pair_counts(old, steps(reach), N_ITEMS, most=N_ITEMS, shares=shares)))
    new, new_times = histories(log[cut:], by_time=False)
    changes = changed_pairs(old, old_times, new, new_times, steps(reach), shares)
    for i, j, count in zip(*(part.tolist() for part in changes), strict=True):
        totals[i, j] += count
    whole, _ = histories(log, by_time=True)
    expected = as_pairs(pair_counts(whole, steps(reach), N_ITEMS, most=N_ITEMS, shares=shares))
    assert {pair: count for pair, count in totals.items() if count} == expected


PAIR_COUNTS: st.SearchStrategy[Pairs] = st.dictionaries(
    st.tuples(st.integers(0, 4), st.integers(0, 4)).filter(lambda pair: pair[0] != pair[1]),
    st.integers(-3, 3).filter(bool),
)


@settings(deadline=None)
@given(PAIR_COUNTS, PAIR_COUNTS)
def test_merged_counts_are_the_positive_sums(fixed: Pairs, changes: Pairs) -> None:
    """Two of seven items are new."""
    rows = sorted((pair, abs(total)) for pair, total in fixed.items())
    counts = Counts(
        np.searchsorted([source for (source, _), _ in rows], np.arange(6)).astype(np.int64),
        np.array([target for (_, target), _ in rows], dtype=np.int32),
        np.array([total for _, total in rows], dtype=np.int64),
    )
    moved = {(a + 2, b + 2): change for (a, b), change in changes.items()}
    entries = [(source << 32 | target, change, 0) for (source, target), change in moved.items()]
    table = make_table(64)
    rehash(np.array(entries, dtype=np.int64).reshape(-1, 3), table)
    sums = dict(rows)
    for pair, change in moved.items():
        sums[pair] = sums.get(pair, 0) + change
    result = merged(counts, table, 7)
    assert as_pairs(result) == {pair: total for pair, total in sums.items() if total > 0}
    for first, last in pairwise(result.indptr):
        assert (np.diff(result.items[first:last]) > 0).all()


@settings(deadline=None)
@given(st.lists(EVENT, max_size=20), st.integers(0, 20), st.integers(1, 4))
def test_edges_follow_the_counts(log: list[Event], cut: int, k: int) -> None:
    """Fixed edges (some left out), changes one by one, a table that outgrows its room."""
    divisor = np.ones(N_ITEMS)
    old, _ = histories(log[:cut], by_time=True)
    counts = pair_counts(old, steps(3), N_ITEMS, most=N_ITEMS)
    fixed = strongest(counts, divisor, divisor, 0.0, top_k=k)
    room = 1_000
    heads = np.full((1, N_ITEMS), -1, dtype=np.int64)
    following, items = np.full(room, -1, dtype=np.int64), np.zeros(room, dtype=np.int32)
    values, n_added, table = np.zeros(room, dtype=np.float32), 0, make_table(32)
    for at in range(cut, len(log)):
        before, before_times = histories(log[:at], by_time=True)
        event, event_times = histories(log[at : at + 1], by_time=False)
        changes = changed_pairs(before, before_times, event, event_times, steps(3), EQUAL)
        edges = Edges(
            fixed.indptr[None, :],
            fixed.items,
            fixed.weights,
            heads,
            following,
            items,
            values,
            n_added,
        )
        _, n_added = apply_changes(changes, counts, table, edges, 0)
        wider = make_table(2 * len(table))
        rehash(table, wider)
        table = wider if len(table) < 1_024 else table
    whole, _ = histories(log, by_time=True)
    expected = pair_counts(whole, steps(3), N_ITEMS, most=N_ITEMS)
    assert [part.tolist() for part in merged(counts, table, N_ITEMS)] == [
        part.tolist() for part in expected
    ]
    amounts = {pair: np.float32(count * UNIT) for pair, count in as_pairs(expected).items()}
    found: dict[tuple[int, int], float] = {}
    for item, row in enumerate(as_lists(fixed)):
        found |= {(item, j): value for j, value in row}
        edge = heads[0, item]
        while edge >= 0:
            assert (item, int(items[edge])) not in found
            found[item, int(items[edge])] = float(values[edge])
            edge = following[edge]
    changed = {(int(key >> 32), int(key & 0xFFFFFFFF)) for key in table[:, KEY] if key}
    assert {pair: value for pair, value in found.items() if value} == {
        pair: amount for pair, amount in amounts.items() if pair in found or pair in changed
    }
    assert changed <= found.keys() | {pair for pair in changed if pair not in amounts}
