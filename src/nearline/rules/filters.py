"""Which items may stand in a list at all."""

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from nearline.state import State


def allowed_items(
    state: State, *, category: str | None = None, excluded: Iterable[int] = ()
) -> NDArray[np.bool_]:
    """Mask [n_items] of the items that are available, of the category and not excluded.

    `excluded` holds item indices. An unknown category allows nothing. O(n_items) bytes copied.
    """
    with state.lock:
        allowed = state.catalogue.available()
        if category is not None:
            allowed &= state.catalogue.category_mask(category)
    allowed[np.fromiter(excluded, dtype=np.int64)] = False
    return allowed
