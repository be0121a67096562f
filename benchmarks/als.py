"""Speed of implicit ALS and batch top-N compared with `implicit`, in alternating processes.

Measured: the time until Nearline reaches the loss of implicit after 15 iterations, the peak memory,
and the time to find the 100 best unseen items of all users.

    python -m benchmarks.als [--quick] [--repeats 3] [--factors 64 128 256]
"""

import argparse
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
from benchmarks.machine import spread, write
from benchmarks.peers import environment, run
from benchmarks.synthetic_matrix import synthetic_matrix
from scipy import sparse

from nearline.kernels.chunks import available_threads, map_chunks

PEER = "implicit==0.7.3"
ITERATIONS, K = 15, 100
# Weak regularisation makes the loss hard to reach. The settings are not chosen for accuracy.
SETTINGS = {"alpha": 10.0, "regularization": 0.1, "seed": 0}
CG_STEPS = 2


def peer(question: dict[str, Any]) -> dict[str, Any]:
    return run(
        "peer_implicit_als.py",
        {"threads": available_threads(), "iterations": ITERATIONS, **question},
        python=environment(PEER),
        OPENBLAS_NUM_THREADS="1",
    )


def own(question: dict[str, Any]) -> dict[str, Any]:
    return run("own_als.py", question)


def save(matrix: "sparse.csr_array", folder: Path, name: str) -> str:
    path = folder / f"{name}.npz"
    np.savez(path, indptr=matrix.indptr, indices=matrix.indices, shape=matrix.shape)
    return str(path)


def compare_fits(matrix: str, factors: int, repeats: int, given: str) -> list[dict[str, Any]]:
    """Compare the time to the loss of the peer; Nearline does as few sweeps as needed."""
    question = {**SETTINGS, "matrix": matrix, "factors": factors, "task": "fit"}
    theirs = [peer(question)]
    needed = own({**question, "target": theirs[0]["loss"]})["iterations"]
    ours = []
    for repeat in range(repeats):
        if repeat:
            theirs.append(peer(question))
        ours.append(own({**question, "iterations": needed, "given": given}))
    rows = [fit_row("implicit", factors, ITERATIONS, theirs)]
    rows.append(fit_row("nearline", factors, needed, ours))
    rows[1]["ratio"] = rows[1]["wall"]["median"] / rows[0]["wall"]["median"]
    rows[1]["sweep_ratio"] = rows[1]["ratio"] * ITERATIONS / needed
    rows[1]["memory_ratio"] = rows[1]["peak_mib"]["median"] / rows[0]["peak_mib"]["median"]
    return rows


def fit_row(
    name: str, factors: int, iterations: int, answers: list[dict[str, Any]]
) -> dict[str, Any]:
    row: dict[str, Any] = {"what": "fit", "library": name, "factors": factors}
    row |= {"iterations": iterations, "loss": answers[0]["loss"]}
    return row | {key: spread([a[key] for a in answers]) for key in ("wall", "cpu", "peak_mib")}


def compare_lists(matrix: str, factors: int, repeats: int, folder: Path) -> list[dict[str, Any]]:
    """Compare top-100 lists of all users from the same factors: times, and agreement of lists."""
    question = {**SETTINGS, "matrix": matrix, "factors": factors, "task": "recommend", "k": K}
    question["given"] = str(folder / f"factors-{factors}.npz")
    answers: dict[str, list[dict[str, Any]]] = {"implicit": [], "nearline": []}
    for _ in range(repeats):
        for name, side in (("implicit", peer), ("nearline", own)):
            answers[name].append(side({**question, "lists": str(folder / f"{name}.npz")}))
    rows: list[dict[str, Any]] = [
        {"what": "top-100", "library": name, "factors": factors}
        | {key: spread([a[key] for a in found]) for key in ("wall", "cpu", "peak_mib")}
        for name, found in answers.items()
    ]
    rows[1]["ratio"] = rows[1]["wall"]["median"] / rows[0]["wall"]["median"]
    rows[1]["memory_ratio"] = rows[1]["peak_mib"]["median"] / rows[0]["peak_mib"]["median"]
    rows[1]["with_fold_in"] = spread([a["with_fold_in"] for a in answers["nearline"]])
    with np.load(folder / "implicit.npz") as theirs, np.load(folder / "nearline.npz") as ours:
        same = theirs["items"] == ours["items"]
        # Tied items have the same score up to single precision.
        near = np.isclose(theirs["scores"], ours["scores"], rtol=1e-4, atol=1e-5)
        rows[1]["same_places"] = float(same.mean())
        rows[1]["same_or_tied"] = float((same | near).mean())
    return rows


def limits(factors: int) -> dict[str, float]:
    """Measure the limits of the machine: single-precision matrix products and random gathers."""
    square = np.random.default_rng(0).random((2048, 2048), dtype=np.float32)
    square @ square
    start = time.perf_counter()
    for _ in range(10):
        square @ square
    flops = 10 * 2 * 2048**3 / (time.perf_counter() - start)
    rows = np.ones((138_000, factors), dtype=np.float32)
    order = np.random.default_rng(0).integers(len(rows), size=1 << 20)

    def gather(first: int, last: int) -> None:
        out = np.empty((1024, factors), dtype=np.float32)
        for at in range(first, last, 1024):
            np.take(rows, order[at : at + 1024], axis=0, out=out[: min(1024, last - at)])

    gather(0, len(order))
    start = time.perf_counter()
    for _ in range(3):
        map_chunks(gather, len(order), least=1024)
    gathered = 3 * len(order) * factors * 4 / (time.perf_counter() - start)
    return {"gflops": flops / 1e9, "gather_gb_s": gathered / 1e9}


def shares(row: dict[str, Any], n_users: int, n_items: int, n: int) -> dict[str, Any]:
    """Return the share of both limits that the fit reached, based on its total time."""
    f, best = row["factors"], limits(row["factors"])
    seconds = row["wall"]["median"] / row["iterations"]
    sparse_flops = 2 * n * 4 * f * (CG_STEPS + 1)
    dense_flops = (n_users + n_items) * 2 * f * f * 3
    reached = (sparse_flops + dense_flops) / seconds / 1e9
    gathered = 2 * n * f * 4 / seconds / 1e9
    return {
        "what": "limits",
        "factors": f,
        **best,
        "share_of_flops": reached / best["gflops"],
        "share_of_gather": gathered / best["gather_gb_s"],
    }


def show(rows: list[dict[str, Any]]) -> None:
    for row in rows:
        cells = []
        for name, value in row.items():
            shown = value["median"] if isinstance(value, dict) else value
            cells.append(f"{name}={shown:.4g}" if isinstance(shown, float) else f"{name}={shown}")
        print("  ".join(cells), flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--quick", action="store_true", help="a tenth of the interactions, 64 factors only"
    )
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--factors", type=int, nargs="+", default=[64, 128, 256])
    asked = parser.parse_args()
    share, sizes = (0.1, [64]) if asked.quick else (1.0, asked.factors)
    full = synthetic_matrix(share)
    rows: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        matrix = save(full, folder, "matrix")
        for factors in sizes:
            given = str(folder / f"factors-{factors}.npz")
            found = compare_fits(matrix, factors, asked.repeats, given)
            found.append(shares(found[1], *full.shape, full.nnz))
            show(found)
            rows += found
        found = compare_lists(matrix, sizes[0], asked.repeats, folder)
        show(found)
        rows += found
    settings = {**SETTINGS, "shape": full.shape, "interactions": full.nnz, "peer": PEER}
    print(write("als_quick" if asked.quick else "als", settings, rows))


if __name__ == "__main__":
    main()
