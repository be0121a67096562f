"""What eight bits a number cost the index of item vectors: neighbours missed, memory, time.

    python -m benchmarks.vector_index

Real texts: the docstrings of the Python packages that Nearline stands on, as latent semantic
vectors (truncated SVD of TF-IDF). For a sample of them the 100 nearest among the rounded vectors
are held against the 100 nearest in single precision.
"""

import argparse
import ast
import sys
import time
import warnings
from pathlib import Path
from typing import Any

import numpy as np
from benchmarks import machine
from numpy.typing import NDArray
from sklearn.decomposition import TruncatedSVD
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.preprocessing import normalize

from nearline.encoders.index import VectorIndex
from nearline.kernels.topk import top_k_rows

NEAREST = 100
SHORTEST = 80  # characters; shorter docstrings say little
PACKAGES = ("numpy", "scipy", "sklearn", "pyarrow", "pandas", "matplotlib", "polars", "litestar")


def docstrings(most: int) -> list[str]:
    """Distinct docstrings of functions and classes."""
    found: dict[str, None] = {}
    for folder in (Path(entry) for entry in sys.path if entry.endswith("site-packages")):
        for file in (f for name in PACKAGES for f in sorted((folder / name).rglob("*.py"))):
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                try:
                    tree = ast.parse(file.read_text(encoding="utf-8"))
                except (SyntaxError, UnicodeDecodeError):
                    continue
            for node in ast.walk(tree):
                if isinstance(node, ast.FunctionDef | ast.ClassDef):
                    text = ast.get_docstring(node) or ""
                    if len(text) >= SHORTEST:
                        found[text] = None
            if len(found) >= most:
                return list(found)[:most]
    return list(found)


def measure(vectors: NDArray[np.float32], sample: int) -> dict[str, Any]:
    """Share of the nearest that are found, largest error of a cosine, and milliseconds a search."""
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
    parser.add_argument("--texts", type=int, default=20_000, help="docstrings at most")
    parser.add_argument("--width", type=int, default=256, help="numbers of a vector")
    parser.add_argument("--sample", type=int, default=500, help="searches")
    options = parser.parse_args()
    words: Any = TfidfVectorizer
    semantics: Any = TruncatedSVD
    terms = words(sublinear_tf=True, min_df=2).fit_transform(docstrings(options.texts))
    vectors = semantics(options.width, n_iter=2, random_state=0).fit_transform(terms)
    row = measure(normalize(vectors).astype(np.float32), options.sample)
    print(row)
    print(f"written to {machine.write('vector_index', vars(options), [row])}")


if __name__ == "__main__":
    main()
