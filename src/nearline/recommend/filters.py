"""Which items may stand in a list at all."""

import numpy as np
from numpy.typing import NDArray

from nearline.state import State


def allowed_items(state: State, category: str | None = None) -> NDArray[np.bool_]:
    """Mask [n_items] of the items that are available and of the category; read-only.

    An unknown category allows nothing. Nothing that grows with the catalogue is copied, but once
    for a category.
    """
    if category is None:
        return state.catalogue.available()
    return state.catalogue.available_in(category)
