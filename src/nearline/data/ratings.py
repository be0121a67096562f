"""Detection of low ratings, which mean that the user does not like the item."""

import re
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

LOW_RATING = "low_rating"
# Names of columns of ratings, in lower case and without punctuation.
_NAMES = {
    *("rating", "ratings", "stars", "star", "starrating", "overall", "score", "bookrating"),
    *("userrating", "reviewrating", "reviewoverall", "reviewscore", "myrating", "grade"),
}
# Lowest and highest rating of common scales, narrowest first.
_SCALES = ((0, 1), (-1, 1), (1, 5), (0.5, 5), (0, 5), (1, 10), (0, 10), (-10, 10), (0, 100))
# Values that mean "no rating" in common files.
_UNRATED = (0.0, -1.0)


class Rated(NamedTuple):
    """Rows with low ratings.

    Attributes
    ----------
    low : pyarrow.Array
        True where the rating is below the middle.
    remark : str
        Line of the report; "" if no rating is low.
    """

    low: Any
    remark: str


def is_rating(column: str) -> bool:
    """Return whether a column of this name contains ratings."""
    return re.sub(r"[\W_]+", "", column.casefold()) in _NAMES


def low_ratings(values: Any) -> Rated | None:
    """Find the ratings below the middle of the narrowest common scale that contains all of them.

    Return None if there is no such scale. If all values are whole numbers and the lowest is 0 or
    -1, this lowest value means that there is no rating.
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
