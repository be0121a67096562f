"""Vector columns of a catalogue as arrays, of which training uses a bounded number."""

import logging
from collections import Counter
from collections.abc import Sequence

import numpy as np

from nearline.data.dataset import FloatArray
from nearline.schema import Item

# Each column becomes a relation of the item graph, and an array with a row for every item.
MAX_COLUMNS = 16
# Arrays up to this size may have any number of rows of zeros, and larger ones at most this many
# rows per vector.
SMALL_BYTES, MAX_ROWS = 2**26, 64

logger = logging.getLogger(__name__)


def vector_columns(entries: Sequence[Item | None]) -> dict[str, FloatArray]:
    """Stack the vectors of each name: float32 [n_items, d], zero for items without a vector.

    A vector of an unusual length counts as missing. At most `MAX_COLUMNS` names are used, those of
    the most items, and none whose array would be large but nearly empty; a warning names the first
    of the others.
    """
    lengths: dict[str, Counter[int]] = {}
    for entry in entries:
        for name, vector in entry.vectors.items() if entry else ():
            lengths.setdefault(name, Counter())[len(vector)] += 1
    usual = {name: counts.most_common(1)[0] for name, counts in lengths.items()}
    useful = [name for name in usual if _is_useful(*usual[name], len(entries))]
    most_used = sorted(useful, key=lambda name: (-usual[name][1], name))[:MAX_COLUMNS]
    chosen = [name for name in usual if name in set(most_used)]
    if len(chosen) < len(usual):
        first = next(name for name in usual if name not in set(chosen))
        logger.warning(
            "%s of %s vector columns are not used, such as %r: training uses up to %s columns that "
            "enough items have",
            *(len(usual) - len(chosen), len(usual), first, MAX_COLUMNS),
        )
    columns = {name: np.zeros((len(entries), usual[name][0]), dtype=np.float32) for name in chosen}
    for row, entry in enumerate(entries):
        for name, vector in entry.vectors.items() if entry else ():
            if name in columns and len(vector) == columns[name].shape[1]:
                columns[name][row] = vector
    return columns


def _is_useful(length: int, vectors: int, n_items: int) -> bool:
    """Return whether a column with a number of vectors of a length is worth its memory."""
    return 4 * length * n_items <= SMALL_BYTES or n_items <= MAX_ROWS * vectors
