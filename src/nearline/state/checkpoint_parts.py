"""Checks that the arrays of a checkpoint fit together, before a state is made of them.

A checksum finds damaged bytes, but not a file that a faulty program wrote. Indices beyond the end
of an array would be read by compiled loops, which do not check them.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

Sections = dict[str, NDArray[Any]]

# Numbers of events stay below it, so that they can grow.
MOST_EVENTS = 2**62
BYTES, INT32, INT64, FLOAT32, FLOAT64, BOOL = "|u1", "<i4", "<i8", "<f4", "<f8", "|b1"
DTYPES = {
    "users": BYTES,
    "items": BYTES,
    "histories.indptr": INT64,
    "histories.items": INT32,
    "histories.weights": FLOAT32,
    "histories.times": FLOAT64,
    "histories.arrived": INT64,
    "histories.opposed": BOOL,
    "counters.totals": INT64,
    "counters.high": FLOAT64,
    "counters.low": FLOAT64,
    "counters.landmark": INT64,
    "contexts.pairs": BYTES,
    "contexts.since": INT64,
    "contexts.priorities": INT64,
    "contexts.indptr": INT64,
    "contexts.items": INT32,
    "contexts.counts": INT64,
    "available": BOOL,
    "entries": BYTES,
    "definitions": BYTES,
    "profiles": BYTES,
    "showings": BYTES,
    "vectors.keys": BYTES,
    "vectors": FLOAT64,
}


def check_types(sections: Sections) -> None:
    """Raise ValueError unless all sections are there, each with its dtype."""
    found = {name: array.dtype.str for name, array in sections.items()}
    if found != DTYPES:
        wrong = sorted(name for name, dtype in DTYPES.items() if found.get(name) != dtype)
        raise ValueError(f"sections missing or of another type: {wrong or sorted(found)}")


def check_sizes(sections: Sections, n_users: int, n_items: int, n_pairs: int) -> None:
    """Raise ValueError unless lengths and indices fit to the numbers of users, items and pairs."""
    _check_rows(sections, "histories", n_users, ("items", "weights", "times"))
    _check_rows(sections, "contexts", n_pairs, ("items", "counts"))
    lengths = {
        "histories.arrived": n_users,
        "histories.opposed": n_users,
        "counters.totals": n_items,
        "counters.high": n_items,
        "counters.low": n_items,
        "counters.landmark": n_items,
        "available": n_items,
        "contexts.since": n_pairs,
        "contexts.priorities": 2 * n_pairs,
    }
    for name, length in lengths.items():
        if len(sections[name]) != length:
            raise ValueError(f"{name} has {len(sections[name])} entries instead of {length}")
    # The item i of an event that does not count is stored as -1 - i.
    _check_indices(sections, "histories.items", -n_items, n_items)
    _check_indices(sections, "contexts.items", 0, n_items)
    if (sections["histories.arrived"] < np.diff(sections["histories.indptr"])).any():
        raise ValueError("histories.arrived is less than the number of stored events")
    for name in ("counters.high", "counters.low", "histories.weights", "histories.times"):
        if not np.isfinite(sections[name]).all():
            raise ValueError(f"{name} has a value that is not finite")
    if (sections["contexts.priorities"] > MOST_EVENTS).any():
        raise ValueError("contexts.priorities has a priority that cannot grow")
    for name in ("counters.totals", "contexts.counts", "contexts.priorities"):
        if (sections[name] < 0).any():
            raise ValueError(f"{name} has a negative count")


def _check_rows(sections: Sections, table: str, n: int, columns: tuple[str, ...]) -> None:
    indptr = sections[f"{table}.indptr"]
    if len(indptr) != n + 1 or indptr[0] != 0 or (np.diff(indptr) < 0).any():
        raise ValueError(f"{table}.indptr does not begin {n} rows")
    for column in columns:
        if len(sections[f"{table}.{column}"]) != indptr[-1]:
            raise ValueError(f"{table}.{column} does not have {indptr[-1]} entries")


def _check_indices(sections: Sections, name: str, low: int, high: int) -> None:
    array = sections[name]
    if len(array) and not (low <= array.min() and array.max() < high):
        raise ValueError(f"{name} has an index outside of {low} to {high - 1}")
