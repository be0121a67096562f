"""Ratings below the middle of their scale are not liking."""

import re
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

LOW_RATING = "low_rating"
# Names of columns that hold ratings, without case and marks.
_NAMES = {
    *("rating", "ratings", "stars", "star", "starrating", "overall", "score", "bookrating"),
    *("userrating", "reviewrating", "reviewoverall", "reviewscore", "myrating", "grade"),
}
# Lowest and highest rating, the narrowest scale first.
_SCALES = ((0, 1), (-1, 1), (1, 5), (0.5, 5), (0, 5), (1, 10), (0, 10), (-10, 10), (0, 100))
# Values of interactions without a rating in common files.
_UNRATED = (0.0, -1.0)


class Rated(NamedTuple):
    """Which rows rate an item below the middle.

    Attributes
    ----------
    low : pyarrow.Array
        True where the rating is below the middle.
    remark : str
        Says so to a person; "" where there is none.
    """

    low: Any
    remark: str


def is_rating(column: str) -> bool:
    """Whether a column of this name holds ratings."""
    return re.sub(r"[\W_]+", "", column.casefold()) in _NAMES


def low_ratings(values: Any) -> Rated | None:
    """Find the ratings below the middle of the narrowest usual scale that holds all of them.

    None where no usual scale holds them. A lowest value of 0 or -1 beside whole numbers from 1 on
    means that no rating was given.
    """
    numbers = pc.fill_null(values, float("nan")).to_numpy(zero_copy_only=False)
    given = numbers[np.isfinite(numbers)]
    if not len(given):
        return None
    rated = given
    if given.max() > 1 and (given == np.floor(given)).all() and given.min() in _UNRATED:
        rated = given[given >= 1]
    scale = next((s for s in _SCALES if s[0] <= rated.min() and rated.max() <= s[1]), None)
    if scale is None:
        return None
    middle = (scale[0] + scale[1]) / 2
    low = (numbers < middle) & (numbers >= rated.min())
    count = int(low.sum())
    remark = (
        f"ratings below {middle:g}, the middle of {scale[0]:g} to {scale[1]:g}, are events of "
        f"kind {LOW_RATING}: {count:,}"
    )
    return Rated(pa.array(low), remark if count else "")
