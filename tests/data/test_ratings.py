"""Ratings below the middle of their scale become events of the kind `low_rating`."""

from pathlib import Path

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

import nearline as nl
from nearline.data import event_ids, read_interactions
from nearline.data.ratings import is_rating, low_ratings


@pytest.mark.parametrize(
    ("ratings", "low"),
    [
        ([1, 2, 3, 4, 5], [1, 2]),
        ([0.5, 2.5, 3, 5], [0.5, 2.5]),
        ([1, 5, 6, 10], [1, 5]),
        ([0, 5, 5.5, 10], [0]),
        ([0, 5, 6, 10], [5]),
        ([-1, 3, 8], [3]),
        ([0, 1, 3, 5], [1]),
        ([-9.5, -0.5, 0, 8.75], [-9.5, -0.5]),
        ([-1, 1], [-1]),
        ([0, 1], [0]),
        ([20, 50, 90], [20]),
        ([3, 4, 5], []),
        ([1, 500], []),
        ([None, 1, 5], [1]),
    ],
)
def test_scales(ratings: list[float | None], low: list[float]) -> None:
    rated = low_ratings(pa.array(ratings, pa.float64()))
    marks = [False] * len(ratings) if rated is None else rated.low.to_pylist()
    assert [rating for rating, is_low in zip(ratings, marks, strict=True) if is_low] == low


@given(stars=st.lists(st.integers(1, 5), min_size=1, max_size=20))
def test_stars(stars: list[int]) -> None:
    rated = low_ratings(pa.array(stars, pa.float64()))
    assert rated is not None
    if max(stars) > 1:  # ones without other values may mean "yes"
        assert rated.low.to_pylist() == [star < 3 for star in stars]


@pytest.mark.parametrize("name", ["rating", "Book-Rating", "overall", "STARS", "review_score"])
def test_names_of_ratings(name: str) -> None:
    assert is_rating(name)


@pytest.mark.parametrize("name", ["value", "price", "amount", "quantity", "operating", "weight"])
def test_other_names(name: str) -> None:
    assert not is_rating(name)


TEXT = "user_id,item_id,rating\nann,tea,5\nann,pot,1\nben,pot,2\nben,cup,3\n"


def test_a_low_rating_has_a_negative_weight(tmp_path: Path) -> None:
    path = tmp_path / "r.csv"
    path.write_text(TEXT)
    with nl.Recommender() as rec:
        report = rec.add(path, columns={"value": "rating"})
        assert report is not None
        kinds = {kind.event: (kind.rows, kind.weight) for kind in report.kinds}
        assert kinds == {"view": (2, 1.0), "low_rating": (2, -0.5)}
        assert "ratings below 3, the middle of 1 to 5" in str(report)
        counters = rec._current.deployment.state.counters
        assert counters.events == 2


def test_an_unmapped_column_of_ratings_is_reported(tmp_path: Path) -> None:
    path = tmp_path / "r.csv"
    path.write_text(TEXT)
    with nl.Recommender() as rec:
        report = rec.add(path)
    assert report is not None
    assert report.columns["rating"] == "not used"
    assert "rating is not used" in str(report)


def test_keys_do_not_depend_on_the_rating(tmp_path: Path) -> None:
    """Rows that an earlier version imported are recognised."""
    path = tmp_path / "r.csv"
    path.write_text(TEXT)
    rated = read_interactions(path, {"value": "rating"})
    plain = read_interactions(path, {"value": "rating"}, event="view")
    named = tmp_path / "v.csv"
    named.write_text(TEXT.replace("rating", "value"))
    assert "low_rating" in rated["event"].to_pylist()
    assert event_ids(rated).equals(event_ids(read_interactions(named)))
    assert event_ids(rated).equals(event_ids(plain))
