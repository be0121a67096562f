"""Item ids as two arrays: their UTF-8 bytes end to end, and where each begins."""

from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nearline.errors import Damaged, InvalidInput

# No array of a model may start with it.
PREFIX = "item_ids."
BYTES, STARTS = f"{PREFIX}bytes", f"{PREFIX}starts"


def pack(item_ids: Sequence[str]) -> dict[str, NDArray[Any]]:
    """Turn ids into arrays: uint8 [total bytes] and int64 [n + 1].

    Raises
    ------
    InvalidInput
        An id is not valid Unicode, or stands there twice.
    """
    if len(set(item_ids)) != len(item_ids):
        twice = Counter(item_ids).most_common(1)[0][0]
        raise InvalidInput(
            f"item id {twice!r:.80} stands in the vocabulary twice; ids must be distinct",
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
    """Turn the arrays of `pack` back into `n_items` ids.

    Raises
    ------
    Damaged
        They do not hold that many distinct ids.
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
        raise _damaged("an id stands there twice")
    return item_ids


def _damaged(reason: str) -> Damaged:
    return Damaged(f"the item ids of a snapshot are damaged: {reason}; use another snapshot")
