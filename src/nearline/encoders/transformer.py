"""Text encoders that run local language models: a tokenizer and a network in ONNX Runtime.

The vector of a text is the mean of its token vectors or, if the model's settings request it, the
vector of the first token. It is scaled to unit length (N. Reimers and I. Gurevych, "Sentence-BERT",
EMNLP 2019).
"""

import json
from collections.abc import Sequence
from functools import cached_property
from hashlib import blake2b
from threading import Lock
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tokenizers import Tokenizer

from nearline.common.inference import OnnxGraph
from nearline.common.progress import Progress, no_progress
from nearline.encoders.base import Encoder, Floats, unit
from nearline.encoders.bert_graph import bert_graph
from nearline.encoders.finding import ModelFiles
from nearline.errors import Damaged
from nearline.kernels.chunks import available_threads

# Tokens per batch, padding included: enough to use all cores, with a few MB of memory.
BATCH_TOKENS = 2_048
# Number of texts that are tokenised at a time.
BLOCK_TEXTS = 8_192
LONGEST = 256

Ids = list[list[int]]


class Transformer(Encoder):
    """Text encoder that runs a transformer from local files, loaded on first use; thread-safe.

    Parameters
    ----------
    name : str
        Name under which the encoder was opened.
    files : ModelFiles
        Files of the model.
    threads : int or None
        Number of threads for computing one batch; None uses one per available core.

    Notes
    -----
    Texts of similar length are encoded together, in batches of up to `BATCH_TOKENS` tokens, to
    minimise padding.
    """

    def __init__(self, name: str, files: ModelFiles, *, threads: int | None = None) -> None:
        self.name, self._files = name, files
        self._threads = threads or available_threads()
        self._lock = Lock()
        self._opened: tuple[OnnxGraph, Tokenizer] | None = None

    @cached_property
    def fingerprint(self) -> str:
        """Hash of the contents of the model's files."""
        digest = blake2b(digest_size=16)
        config = self._files.network.parent / "config.json"
        graph = [] if self._files.network.suffix == ".onnx" else [config]
        for path in (self._files.network, self._files.tokenizer, *graph, *self._files.settings):
            content = path.read_bytes()
            digest.update(len(content).to_bytes(8, "little"))
            digest.update(content)
        return digest.hexdigest()

    def encode(self, texts: Sequence[str], progress: Progress = no_progress) -> Floats:
        """Encode n texts as unit vectors: float32 [n, d], as described in `Encoder.encode`.

        An empty text is encoded from the special tokens that the tokenizer adds.

        Raises
        ------
        Damaged
            A file of the model cannot be loaded.
        """
        graph, tokenizer = self._open()
        found: list[Floats] = []
        for first in range(0, len(texts), BLOCK_TEXTS):
            block = list(texts[first : first + BLOCK_TEXTS])
            ids = [encoding.ids for encoding in tokenizer.encode_batch(block)]
            rows: Floats | None = None
            done = first
            for batch in _batches(ids):
                progress(done, len(texts), "encode texts")
                vectors = self._run(graph, [ids[row] for row in batch])
                if rows is None:
                    rows = np.empty((len(block), vectors.shape[1]), dtype=np.float32)
                rows[batch] = vectors
                done += len(batch)
            found += [] if rows is None else [rows]
        progress(len(texts), len(texts), "encode texts")
        return np.concatenate(found) if found else np.zeros((0, 0), dtype=np.float32)

    def _run(self, graph: OnnxGraph, ids: Ids) -> Floats:
        lengths = np.array([len(row) for row in ids])
        mask = np.arange(lengths.max()) < lengths[:, None]
        tokens = np.zeros(mask.shape, dtype=np.int64)
        tokens[mask] = np.concatenate(ids)
        given = {
            "input_ids": tokens,
            "attention_mask": mask,
            "token_type_ids": np.zeros_like(tokens),
        }
        kinds = graph.input_types
        output = graph(**{name: given[name].astype(kinds[name]) for name in graph.inputs})[0]
        if output.ndim == 2:  # the graph includes pooling
            return unit(output)
        if self._first_token:
            return unit(output[:, 0])
        counted = output * mask[:, :, None]
        return unit(counted.sum(axis=1) / lengths[:, None].astype(np.float32))

    @cached_property
    def _settings(self) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for path in self._files.settings:
            found |= json.loads(path.read_text(encoding="utf-8"))
        return found

    @property
    def _first_token(self) -> bool:
        return bool(self._settings.get("pooling_mode_cls_token", False))

    def _open(self) -> tuple[OnnxGraph, Tokenizer]:
        with self._lock:
            if self._opened is None:
                network = self._files.network
                source = network if network.suffix == ".onnx" else bert_graph(network.parent)
                self._opened = OnnxGraph(source, self._threads), self._tokenizer()
                self._check(self._opened[0])
            return self._opened

    def _tokenizer(self) -> Tokenizer:
        try:
            tokenizer = Tokenizer.from_file(str(self._files.tokenizer))
        except Exception as error:  # the library raises plain Exception
            raise Damaged(
                f"{self._files.tokenizer} is not a tokenizer: {error}; fetch the model again"
            ) from error
        # Published tokenizers often pad every text to a fixed length, which wastes computation.
        tokenizer.no_padding()
        cut = int(self._settings.get("max_seq_length") or LONGEST)
        tokenizer.enable_truncation(cut)
        return tokenizer

    def _check(self, graph: OnnxGraph) -> None:
        unknown = set(graph.inputs) - {"input_ids", "attention_mask", "token_type_ids"}
        if unknown:
            raise Damaged(
                f"{self._files.network} has unknown inputs {', '.join(sorted(unknown))}; a text "
                "encoder has input_ids, attention_mask and token_type_ids: export it as one"
            )


def _batches(ids: Ids) -> list[NDArray[np.int64]]:
    """Group texts of similar length into batches of up to `BATCH_TOKENS` tokens with padding."""
    lengths = np.array([len(row) for row in ids])
    order = np.argsort(lengths, kind="stable")
    batches, first = [], 0
    for last in range(1, len(order) + 1):
        # The next row would be the longest of the batch.
        if last == len(order) or (last + 1 - first) * lengths[order[last]] > BATCH_TOKENS:
            batches.append(order[first:last])
            first = last
    return batches
