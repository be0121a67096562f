"""Tables without times: known rows are stored once, and rows of later tables are later."""

import math
from collections import Counter
from pathlib import Path

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import nearline as nl
from nearline.data import event_ids, read_interactions, to_events
from nearline.schema import Event

NOW = 1_700_000_000.0
Row = tuple[str, str]
Rows = st.lists(st.tuples(st.sampled_from("ab"), st.sampled_from("xyz")), min_size=1, max_size=10)


def table_of(rows: list[Row]) -> pa.Table:
    users, items = zip(*rows, strict=True)
    return pa.table({"user_id": users, "item_id": items})


def stored(rec: nl.Recommender) -> list[Row]:
    log = rec._current.deployment.log
    return [(e.user_id, e.item_id) for _, e in log.read() if isinstance(e, Event)]


def in_order(rec: nl.Recommender, user_id: str) -> list[str]:
    """Items of a user, oldest first."""
    return [past.item_id for past in reversed(rec.user(user_id).history)]


@given(
    rows=Rows,
    grown=st.lists(st.tuples(st.integers(0, 20), Rows.map(lambda rows: rows[0])), max_size=6),
)
@settings(max_examples=60, deadline=None)
def test_a_table_that_grew_anywhere_is_stored_once(
    rows: list[Row], grown: list[tuple[int, Row]]
) -> None:
    longer = list(rows)
    for place, row in grown:
        longer.insert(place, row)
    with nl.Recommender(clock=lambda: NOW) as rec:
        first = rec.add(table_of(rows))
        second = rec.add(table_of(longer))
        assert first is not None
        assert second is not None
        assert (first.known, second.known) == (0, len(rows))
        assert Counter(stored(rec)) == Counter(longer)


@pytest.mark.parametrize(
    ("old", "new", "added"),
    [
        ("ax bx", "ay ax bx", 1),
        ("ax bx", "ax bx ay", 1),
        ("ax bx", "ax ay bx", 1),
        ("ax ax", "ax ax ax", 1),
        ("ax bx", "bx ax", 0),
        ("ax bx", "ax", 0),
        ("ax", "bx", 1),
        ("ax ax bx", "bx ax by ax ax", 2),
    ],
)
def test_members(old: str, new: str, added: int) -> None:
    with nl.Recommender(clock=lambda: NOW) as rec:
        rec.add(table_of([(row[0], row[1]) for row in old.split()]))
        before = rec.offset
        rec.add(table_of([(row[0], row[1]) for row in new.split()]))
        assert rec.offset - before == added


@given(tables=st.lists(Rows, min_size=1, max_size=4))
@settings(max_examples=40, deadline=None)
def test_later_tables_are_later(tables: list[list[Row]]) -> None:
    """The new rows of a table have one whole time, later than those of earlier tables."""
    counts: Counter[Row] = Counter()
    expected: dict[str, list[Counter[str]]] = {}
    with nl.Recommender(clock=lambda: NOW) as rec:
        for rows in tables:
            rec.add(table_of(rows))
            new = Counter(rows) - counts
            counts |= Counter(rows)
            for user in {user for user, _ in new}:
                found = Counter({item: n for (of, item), n in new.items() if of == user})
                expected.setdefault(user, []).append(found)
        for user, batches in expected.items():
            history = rec.user(user).history
            when = [math.floor(past.timestamp) for past in history]
            per_time = [
                Counter(past.item_id for past, at in zip(history, when, strict=True) if at == time)
                for time in sorted(set(when))
            ]
            assert per_time == batches


def test_rows_after_clock_times_are_later_but_not_in_the_future() -> None:
    with nl.Recommender(clock=lambda: NOW) as rec:
        rec.add(
            pa.table({"user_id": ["a", "a"], "item_id": ["x", "y"], "timestamp": [NOW - 9, NOW]})
        )
        rec.add(table_of([("a", f"z{n}") for n in range(300)]))
        assert in_order(rec, "a")[:2] == ["x", "y"]
        times = {past.timestamp for past in rec.user("a").history[:300]}
        assert len(times) == 1
        assert NOW < times.pop() <= NOW + 86_400


def test_rows_imported_by_earlier_versions_are_known() -> None:
    """Their keys contain the row number."""
    rows = [("a", "x"), ("a", "x"), ("b", "y")]
    table = read_interactions(table_of(rows))
    keyed = table.append_column("event_id", event_ids(table, row_numbers=True))
    with nl.Recommender(clock=lambda: NOW) as rec:
        for block in to_events(keyed):
            rec._current.deployment.log.append(block).result()
        assert rec.offset == 3
        report = rec.add(table_of([*rows, ("b", "z")]))
        assert report is not None
        assert report.known == 3
        assert rec.offset == 4


def test_event_ids_of_the_table_are_kept(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text("user_id,item_id,event_id\na,x,one\na,x,two\na,x,\n")
    with nl.Recommender(clock=lambda: NOW) as rec:
        rec.add(path)
        rec.add(path)
        found = [record for _, record in rec._current.deployment.log.read()]
    ids = [record.event_id for record in found if isinstance(record, Event)]
    assert {"one", "two"} < set(ids)
    assert len(ids) == 3


def test_tables_with_times_are_stored_once() -> None:
    table = pa.table({"user_id": ["a"], "item_id": ["x"], "timestamp": [NOW]})
    with nl.Recommender(clock=lambda: NOW) as rec:
        first, second = rec.add(table), rec.add(table)
        assert first is not None
        assert second is not None
        assert (first.known, second.known, rec.offset) == (0, 1, 1)
