"""Recall and cost of the item vector index: 8-bit quantisation and neighbour graph.

    python -m benchmarks.vector_index [--sizes 12000 50000 100000 200000]

The texts are docstrings of Python packages, as latent semantic vectors (truncated SVD of TF-IDF).
For a sample, the 100 nearest neighbours among the quantised vectors are compared with those in
single precision. Then the recall of the neighbour graph and its processor time for all vectors are
measured at each size: the graph is built completely, and searches are timed for a sample of rows.
"""

import argparse
import ast
import sys
import time
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from benchmarks import machine
from numpy.typing import NDArray
from sklearn.decomposition import TruncatedSVD
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.preprocessing import normalize

from nearline.encoders.index import VectorIndex, _compared, _looked_up
from nearline.encoders.neighbour_graph import NeighbourGraph
from nearline.kernels.quantised import quantise
from nearline.kernels.topk import top_k_rows

NEAREST = 100
SHORTEST, SHORT = 80, 30  # characters of a docstring, and of a paragraph of one
PACKAGES = ("numpy", "scipy", "sklearn", "pyarrow", "pandas", "matplotlib", "polars", "litestar")


def docstrings(most: int) -> list[str]:
    """Return distinct docstrings of functions and classes of several packages."""
    found: dict[str, None] = {}
    for folder in (Path(entry) for entry in sys.path if entry.endswith("site-packages")):
        files = [f for name in PACKAGES for f in sorted((folder / name).rglob("*.py"))]
        for text in _docstrings(files):
            if len(text) >= SHORTEST:
                found[text] = None
            if len(found) >= most:
                return list(found)
    return list(found)


def _docstrings(files: list[Path]) -> Iterator[str]:
    for file in files:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            try:
                tree = ast.parse(file.read_text(encoding="utf-8"))
            except (SyntaxError, UnicodeDecodeError, ValueError):
                continue
        for node in ast.walk(tree):
            if isinstance(node, ast.FunctionDef | ast.ClassDef):
                yield ast.get_docstring(node) or ""


def paragraphs(most: int) -> list[str]:
    """Return distinct paragraphs of the docstrings of all installed packages."""
    found: dict[str, None] = {}
    for folder in (Path(entry) for entry in sys.path if entry.endswith("site-packages")):
        for text in _docstrings(sorted(folder.rglob("*.py"))):
            for part in text.split("\n\n"):
                line = " ".join(part.split())
                if len(line) >= SHORT:
                    found[line] = None
            if len(found) >= most:
                return list(found)[:most]
    return list(found)


def semantic_vectors(texts: list[str], width: int, seed: int) -> NDArray[np.float32]:
    """Return unit vectors of texts, without zero vectors; the SVD is fitted on a tenth of them."""
    words: Any = TfidfVectorizer
    semantics: Any = TruncatedSVD
    terms = words(sublinear_tf=True, min_df=2).fit_transform(texts)
    some = np.random.default_rng(seed).permutation(len(texts))[: max(20_000, len(texts) // 10)]
    axes = semantics(width, n_iter=2, random_state=seed).fit(terms[some])
    vectors: NDArray[np.float32] = normalize(axes.transform(terms)).astype(np.float32)
    return vectors[vectors.any(axis=1)]


def compare(vectors: NDArray[np.float32], sample: int) -> dict[str, Any]:
    """Compare graph and exhaustive search on a sample; extrapolate the processor time to all."""
    n = len(vectors)
    first = np.random.default_rng(1).integers(n - sample)
    rows = np.arange(first, first + sample)
    blocks = np.array_split(rows, max(1, sample * n // 16_000_000))
    begin = time.process_time()
    exact = [_compared(vectors, block, NEAREST) for block in blocks]
    compared = (time.process_time() - begin) * n / sample
    codes, _ = quantise(vectors)
    begin = time.process_time()
    graph = NeighbourGraph.of(codes, np.arange(n))
    built = time.process_time() - begin
    assert graph is not None, "pip install 'nearline[index]'"
    begin = time.process_time()
    found = [_looked_up(graph, codes, vectors, block, NEAREST) for block in blocks]
    searched = (time.process_time() - begin) * n / sample
    pairs = [
        (a, b)
        for one, other in zip(exact, found, strict=True)
        for a, b in zip(_split(*one[:2]), _split(*other[:2]), strict=True)
    ]
    hits = sum(int(np.isin(a, b).sum()) for a, b in pairs)
    return {
        "vectors": n,
        "width": vectors.shape[1],
        "graph_recall_at_100": hits / sum(len(a) for a, _ in pairs),
        "all_compared_cpu_seconds": compared,
        "graph_cpu_seconds": built + searched,
        "graph_built_cpu_seconds": built,
        "graph_cpu_ms_a_search": searched / n * 1e3,
        "graph_bytes_a_vector": len(graph.array()) / n,
    }


def _split(sizes: NDArray[np.int64], items: NDArray[np.int32]) -> list[NDArray[np.int32]]:
    return np.split(items, np.cumsum(sizes)[:-1])


def measure(vectors: NDArray[np.float32], sample: int) -> dict[str, Any]:
    """Return recall, the largest error of a cosine, and milliseconds per search."""
    index = VectorIndex(vectors.shape[1])
    for item, vector in enumerate(vectors):
        index.put(item, vector)
    chosen = np.random.default_rng(0).choice(len(vectors), sample, replace=False)
    shares, errors, exact_ms, index_ms = [], [], [], []
    for item in chosen.tolist():
        start = time.perf_counter()
        cosines = vectors @ vectors[item]
        cosines[item] = -np.inf
        exact = top_k_rows(cosines[None], NEAREST, above=0.0).items[0]
        middle = time.perf_counter()
        found, values = index.nearest(item, NEAREST)
        index_ms.append((time.perf_counter() - middle) * 1e3)
        exact_ms.append((middle - start) * 1e3)
        shares.append(float(np.isin(exact, found).mean()))
        errors.append(np.abs(cosines[found] - values).max())
    return {
        "vectors": len(vectors),
        "width": vectors.shape[1],
        "recall_at_100": machine.spread(shares) | {"mean": float(np.mean(shares))},
        "largest_error": float(max(errors)),
        "single_precision_ms": machine.spread(exact_ms[1:]),
        "eight_bits_ms": machine.spread(index_ms[1:]),
        "bytes_a_vector": {"single": 4 * vectors.shape[1], "eight_bits": vectors.shape[1] + 4},
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--texts", type=int, default=20_000, help="maximum number of docstrings")
    parser.add_argument("--width", type=int, default=256, help="dimensions of the vectors")
    parser.add_argument("--sample", type=int, default=500, help="number of searches")
    sizes = [12_000, 50_000, 100_000, 200_000]
    parser.add_argument(
        "--sizes", type=int, nargs="*", default=sizes, help="numbers of vectors in a graph"
    )
    parser.add_argument("--many-width", type=int, default=384, help="dimensions of these vectors")
    parser.add_argument("--rows", type=int, default=1_000, help="number of searches at each size")
    options = parser.parse_args()
    words: Any = TfidfVectorizer
    semantics: Any = TruncatedSVD
    terms = words(sublinear_tf=True, min_df=2).fit_transform(docstrings(options.texts))
    vectors = semantics(options.width, n_iter=2, random_state=0).fit_transform(terms)
    rows = [measure(normalize(vectors).astype(np.float32), options.sample)]
    print(rows[0])
    if options.sizes:
        texts = paragraphs(max(options.sizes))
        texts = [texts[at] for at in np.random.default_rng(0).permutation(len(texts))]
        many = semantic_vectors(texts, options.many_width, 0)
        for size in sorted({min(size, len(many)) for size in options.sizes}):
            rows.append(compare(many[:size], options.rows))
            print(rows[-1], flush=True)
    print(f"written to {machine.write('vector_index', vars(options), rows)}")


if __name__ == "__main__":
    main()
