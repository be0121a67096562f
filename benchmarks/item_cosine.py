"""Speed of the item-item cosine model (100 neighbours), compared with `implicit`.

    python -m benchmarks.item_cosine [--quick] [--repeats 3]

Measured: the time of a fit, the peak memory, and whether the neighbours are the same. The limit is
the rate at which all cores of the machine increment counters that are selected by a list of items:
this part of the problem remains if everything around it is free. The time of each step of a fit is
reported as well.
"""

import argparse
import tempfile
import time
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from benchmarks.als import save
from benchmarks.machine import spread, write
from benchmarks.peers import environment, run
from benchmarks.synthetic_matrix import synthetic_matrix
from numba import njit
from numpy.typing import NDArray
from scipy import sparse

from nearline.kernels.chunks import available_threads, map_chunks
from nearline.kernels.neighbour_rows import Head, Index, RowScratch, _add_up
from nearline.kernels.neighbours import _make_head, make_index, nearest_among
from nearline.kernels.overlaps import DENSE
from nearline.kernels.sets import Sets, dealt, transpose

PEER = "implicit==0.7.3"
K = 100
REPEATS = 5
KEYS = ("wall", "cpu", "peak_mib")


def peer(question: dict[str, Any]) -> dict[str, Any]:
    question = {"threads": available_threads(), **question}
    return run("peer_implicit_cosine.py", question, python=environment(PEER))


def own(question: dict[str, Any]) -> dict[str, Any]:
    return run("own_item_cosine.py", {"measure": "cosine", **question})


def compare(matrix: str, repeats: int, folder: Path) -> list[dict[str, Any]]:
    """Compare fits, alternating, and the agreement of the lists."""
    sides = {"implicit": peer, "nearline": own}
    answers: dict[str, list[dict[str, Any]]] = {name: [] for name in sides}
    for _ in range(repeats):
        for name, side in sides.items():
            question = {"matrix": matrix, "k": K, "lists": str(folder / f"{name}.npz")}
            answers[name].append(side(question))
    rows: list[dict[str, Any]] = [
        {"what": "fit", "library": name} | {key: spread([a[key] for a in found]) for key in KEYS}
        for name, found in answers.items()
    ]
    for key in KEYS:
        rows[1][f"{key}_ratio"] = rows[1][key]["median"] / rows[0][key]["median"]
    with np.load(folder / "implicit.npz") as theirs, np.load(folder / "nearline.npz") as ours:
        rows[1] |= agreement(dict(theirs), dict(ours))
    return rows


def agreement(theirs: dict[str, Any], ours: dict[str, Any]) -> dict[str, float]:
    """Return the share of neighbours that implicit finds too, with and without ties."""
    same = tied = total = 0
    for item in range(len(ours["indptr"]) - 1):
        own_row = slice(ours["indptr"][item], ours["indptr"][item + 1])
        peer_row = slice(theirs["indptr"][item], theirs["indptr"][item + 1])
        items, values = ours["items"][own_row], ours["weights"][own_row]
        others, cosines = theirs["items"][peer_row], theirs["weights"][peer_row]
        cosines = cosines[others != item]
        others = others[others != item]
        found = np.isin(items, others)
        least = cosines.min(initial=np.inf) if len(others) >= len(items) else np.inf
        same += int(found.sum())
        tied += int((found | np.isclose(values, least, rtol=1e-5)).sum())
        total += len(items)
    return {"same": same / total, "same_or_tied": tied / total, "neighbours": total}


@njit(nogil=True)
def count_up(items: NDArray[np.uint16], counts: NDArray[np.int32]) -> None:
    for at in range(len(items)):
        counts[items[at]] += 1


def limit(full: "sparse.csr_array", wall: float) -> dict[str, Any]:
    """Return the time of the increments alone, without those between popular items."""
    counts = np.bincount(full.indices, minlength=full.shape[1])
    order = np.argsort(-counts)
    ranks = np.empty(full.shape[1], dtype=np.uint16)
    ranks[order] = np.arange(full.shape[1])
    popular = (counts > DENSE * full.shape[0])[full.indices]
    users = np.repeat(np.arange(full.shape[0]), np.diff(full.indptr))
    lengths = np.diff(full.indptr).astype(np.float64)
    heads = np.bincount(users[popular], minlength=full.shape[0]).astype(np.float64)
    additions = float((lengths**2 - heads**2).sum())
    items = ranks[full.indices]

    def work(first: int, last: int) -> None:
        count_up(items[first:last], np.zeros(full.shape[1], dtype=np.int32))

    work(0, 1)
    seconds = []
    for _ in range(2 * REPEATS):
        start = time.perf_counter()
        map_chunks(work, len(items))
        seconds.append(time.perf_counter() - start)
    rate = len(items) / min(seconds)
    return {
        "what": "limit",
        "additions": additions,
        "saved_by_bitmaps": float((heads**2).sum()),
        "additions_a_second": rate,
        "seconds": additions / rate,
        "share_reached": additions / rate / wall,
    }


@njit(nogil=True)
def only_add_up(
    members: Sets,
    order: NDArray[np.int64],
    index: Index,
    head: Head,
    scratch: RowScratch,
    first: int,
    last: int,
) -> None:
    """Count what each item has in common with all others, without keeping the result."""
    for position in range(first, last):
        _add_up(members, order[position], index, head, scratch)
        scratch.counts[:] = 0


def parts(full: "sparse.csr_array") -> dict[str, Any]:
    """Return the seconds of each step of a fit on all cores, the minimum of several runs."""
    users = Sets(full.indptr.astype(np.int64), full.indices.astype(np.int32))
    n = full.shape[1]
    members = transpose(users, n)
    scales = 1.0 / np.sqrt(np.maximum(np.diff(members.indptr), 1))
    order = dealt(n)
    runs = []
    for _ in range(REPEATS):
        marks = [time.perf_counter()]
        transpose(users, n)
        index = make_index(users, scales)
        marks.append(time.perf_counter())
        head = _make_head(members, index, None)
        marks.append(time.perf_counter())
        map_chunks(partial(add_up_rows, members, order, index, head), n, least=16)
        marks.append(time.perf_counter())
        transpose(users, n)
        nearest_among(members, users, scales, top_k=K)
        marks.append(time.perf_counter())
        runs.append(np.diff(marks))
    sorting, bitmaps, additions, whole = np.min(runs, axis=0).tolist()
    return {
        "what": "parts",
        "sorting": sorting,
        "bitmaps": bitmaps,
        "additions": additions,
        "selection": whole - sorting - bitmaps - additions,
    }


def add_up_rows(
    members: Sets, order: NDArray[np.int64], index: Index, head: Head, first: int, last: int
) -> None:
    n = len(index.labels)
    scratch = RowScratch(np.zeros(n, np.int32), np.zeros(0), index.scales.astype(np.float32))
    only_add_up(members, order, index, head, scratch, first, last)


def show(rows: list[dict[str, Any]]) -> None:
    for row in rows:
        cells = []
        for name, value in row.items():
            shown = value["median"] if isinstance(value, dict) else value
            cells.append(f"{name}={shown:.4g}" if isinstance(shown, float) else f"{name}={shown}")
        print("  ".join(cells), flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a sixteenth of the interactions")
    parser.add_argument("--repeats", type=int, default=3)
    asked = parser.parse_args()
    full = synthetic_matrix(1 / 16 if asked.quick else 1.0)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        matrix = save(full, folder, "matrix")
        rows = compare(matrix, asked.repeats, folder)
        rows.append(limit(full, rows[1]["wall"]["min"]))
        rows.append(parts(full))
        question = {"matrix": matrix, "k": K, "measure": "tfidf"}
        answers = [own(question) for _ in range(asked.repeats)]
        spreads = {key: spread([a[key] for a in answers]) for key in KEYS}
        rows.append({"what": "fit, TF-IDF", "library": "nearline", **spreads})
        show(rows)
    settings = {"shape": full.shape, "interactions": full.nnz, "k": K, "peer": PEER}
    print(write("item_cosine_quick" if asked.quick else "item_cosine", settings, rows))


if __name__ == "__main__":
    main()
