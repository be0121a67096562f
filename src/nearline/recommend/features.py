"""Features of items whose dot products are similarities, for the diversity of lists.

There are up to two kinds of features: the categories, and those of the model, such as texts and
vectors. The similarity of two items is the mean of the cosines of the kinds that occur.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from nearline.kernels.diversity import Sparse, joined
from nearline.models.capabilities import DescribesItems
from nearline.recommend.lists import View
from nearline.schema import Item


def features_of(items: NDArray[np.int32], entries: Sequence[Item | None], view: View) -> Sparse:
    """Return one row for each item, of at most unit length.

    Parameters
    ----------
    items : int32 [n]
        Item indices.
    entries : sequence of Item or None
        Their catalogue entries.
    """
    categories = _categories(entries)
    if not isinstance(view.model, DescribesItems):
        return categories
    return joined([categories, view.model.describe(items)])


def _categories(entries: Sequence[Item | None]) -> Sparse:
    columns: dict[str, int] = {}
    rows = [
        [columns.setdefault(name, len(columns)) for name in dict.fromkeys(entry.categories)]
        if entry is not None
        else []
        for entry in entries
    ]
    sizes = np.array([len(row) for row in rows], dtype=np.int64)
    return Sparse(
        np.append(np.int64(0), np.cumsum(sizes)),
        np.array([column for row in rows for column in row], dtype=np.int32),
        np.repeat(1.0 / np.sqrt(np.maximum(sizes, 1)), sizes),
        len(columns),
    )
