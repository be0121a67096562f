"""Comparison of the items in events with those in the catalogue."""

import pytest

from nearline.schema import Event, Item
from nearline.state import CatalogueMatch, State, match_catalogue


def matched(events: list[str], catalogue: list[str]) -> CatalogueMatch:
    state = State()
    records = [Event(user_id="u", item_id=item_id, timestamp=1.0) for item_id in events]
    records += [Item(item_id=item_id, timestamp=1.0) for item_id in catalogue]  # type: ignore[misc]
    state.apply(list(enumerate(records)))
    return match_catalogue(state)


@pytest.mark.parametrize(
    ("events", "catalogue", "expected"),
    [
        (["a", "b", "a"], ["a", "b"], (2, 2, 2, [], [], None)),
        (["a", "b"], ["b", "c"], (2, 1, 2, ["a"], ["c"], None)),
        (["7", "8"], ["007", "9"], (2, 0, 2, ["7", "8"], ["007", "9"], ("7", "007"))),
        (["A-1"], ["a-1"], (1, 0, 1, ["A-1"], ["a-1"], ("A-1", "a-1"))),
        (["7.0"], ["7"], (1, 0, 1, ["7.0"], ["7"], ("7.0", "7"))),
        ([" x"], ["x"], (1, 0, 1, [" x"], ["x"], (" x", "x"))),
        ([], ["x"], (0, 0, 1, [], ["x"], None)),
        (["x"], [], (1, 0, 0, ["x"], [], None)),
        (list("abcdef"), ["z"], (6, 0, 1, ["a", "b", "c"], ["z"], None)),
    ],
)
def test_numbers_of_matching_items(
    events: list[str], catalogue: list[str], expected: object
) -> None:
    assert tuple(matched(events, catalogue)) == expected


def test_dislikes_and_deleted_entries_are_not_counted() -> None:
    state = State()
    state.apply([(0, Event(user_id="u", item_id="a", event="dislike", timestamp=1.0))])
    assert match_catalogue(state)[:3] == (0, 0, 0)


def test_the_text_of_a_match() -> None:
    assert str(matched(["7"], ["007"])) == (
        "0 of 1 item in the events is in the catalogue, which has 1 item.\n"
        "Found only in the events: '7'.\n"
        "Found only in the catalogue: '007'.\n"
        "'7' in the events may be '007' in the catalogue: write ids the same way in both files."
    )
    assert str(matched(["a", "b"], ["a", "b"])) == (
        "2 of 2 items in the events are in the catalogue, which has 2 items."
    )
    assert str(matched(["a"], [])) == ""
