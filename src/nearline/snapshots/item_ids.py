"""Item IDs as two arrays: the concatenated UTF-8 bytes, and the position where each ID starts."""

from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nearline.errors import Damaged, InvalidInput

# Reserved: names of model arrays must not start with it.
PREFIX = "item_ids."
BYTES, STARTS = f"{PREFIX}bytes", f"{PREFIX}starts"


def pack(item_ids: Sequence[str]) -> dict[str, NDArray[Any]]:
    """Encode n item IDs as two arrays.

    Returns
    -------
    dict of str to array
        ``item_ids.bytes``, uint8 [total bytes], and ``item_ids.starts``, int64 [n + 1]: ID i is
        the UTF-8 text in the bytes from ``starts[i]`` to ``starts[i + 1]``.

    Raises
    ------
    InvalidInput
        An ID is not valid Unicode, or occurs twice.
    """
    if len(set(item_ids)) != len(item_ids):
        twice = Counter(item_ids).most_common(1)[0][0]
        raise InvalidInput(
            f"item id {twice!r:.80} occurs in the vocabulary twice; ids must be distinct",
            field="item_ids",
        )
    try:
        encoded = [item.encode() for item in item_ids]
    except UnicodeEncodeError as error:
        raise InvalidInput(
            f"item id {error.object!r:.80} is not valid Unicode (a lone surrogate)",
            field="item_ids",
        ) from None
    starts = np.cumsum([0, *map(len, encoded)], dtype=np.int64)
    return {BYTES: np.frombuffer(b"".join(encoded), dtype=np.uint8), STARTS: starts}


def unpack(arrays: dict[str, NDArray[Any]], n_items: int) -> list[str]:
    """Decode the arrays of `pack` to a list of `n_items` IDs.

    Raises
    ------
    Damaged
        The arrays do not contain `n_items` distinct IDs.
    """
    blob, starts = arrays[BYTES], arrays[STARTS]
    if (
        blob.dtype != np.uint8
        or starts.dtype != np.int64
        or blob.ndim != 1
        or starts.shape != (n_items + 1,)
        or (starts[0], starts[-1]) != (0, len(blob))
        or (np.diff(starts) < 0).any()
    ):
        raise _damaged(f"the arrays {BYTES} and {STARTS} do not cut into {n_items} ids")
    data, bounds = blob.tobytes(), starts.tolist()
    try:
        item_ids = [data[bounds[at] : bounds[at + 1]].decode() for at in range(n_items)]
    except UnicodeDecodeError as error:
        raise _damaged(f"array {BYTES} is not UTF-8 ({error})") from error
    if len(set(item_ids)) != n_items:
        raise _damaged("an id occurs twice")
    return item_ids


def _damaged(reason: str) -> Damaged:
    return Damaged(f"the item ids of a snapshot are damaged: {reason}; use another snapshot")
