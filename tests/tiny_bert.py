"""A random BERT of a few thousand weights as its files are published, and what it must compute."""

import json
import math
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import save_file
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors

HIDDEN, HEADS, LAYERS, INNER, POSITIONS = 8, 2, 2, 16, 12
EPSILON = 1e-6
MARKS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]"]
WORDS = [*MARKS, "red", "blue", "green", "black", "white", "mint"]
WORDS += ["tea", "shoes", "leaves", "cup", "the", "of"]
CONFIG = {
    "model_type": "bert",
    "hidden_act": "gelu",
    "num_attention_heads": HEADS,
    "num_hidden_layers": LAYERS,
    "layer_norm_eps": EPSILON,
    "hidden_size": HIDDEN,
}

Weights = dict[str, NDArray[np.float32]]


def random_weights(seed: int = 0) -> Weights:
    """Weights by the names of a published BERT."""
    rng = np.random.default_rng(seed)

    def draw(*shape: int) -> NDArray[np.float32]:
        return (0.5 * rng.standard_normal(shape)).astype(np.float32)

    weights = {
        "embeddings.word_embeddings.weight": draw(len(WORDS), HIDDEN),
        "embeddings.position_embeddings.weight": draw(POSITIONS, HIDDEN),
        "embeddings.token_type_embeddings.weight": draw(2, HIDDEN),
        "embeddings.LayerNorm.weight": 1 + draw(HIDDEN),
        "embeddings.LayerNorm.bias": draw(HIDDEN),
        "pooler.dense.weight": draw(HIDDEN, HIDDEN),
    }
    for layer in range(LAYERS):
        at = f"encoder.layer.{layer}."
        for name in ("query", "key", "value"):
            weights[f"{at}attention.self.{name}.weight"] = draw(HIDDEN, HIDDEN)
            weights[f"{at}attention.self.{name}.bias"] = draw(HIDDEN)
        for name, shape in (
            ("attention.output", (HIDDEN, HIDDEN)),
            ("intermediate", (INNER, HIDDEN)),
            ("output", (HIDDEN, INNER)),
        ):
            weights[f"{at}{name}.dense.weight"] = draw(*shape)
            weights[f"{at}{name}.dense.bias"] = draw(shape[0])
        for name in ("attention.output", "output"):
            weights[f"{at}{name}.LayerNorm.weight"] = 1 + draw(HIDDEN)
            weights[f"{at}{name}.LayerNorm.bias"] = draw(HIDDEN)
    return weights


def write_bert(folder: Path, seed: int = 0, **settings: object) -> Path:
    """Write a model to a folder; `settings` go to the two files that say how to cut and pool."""
    (folder / "1_Pooling").mkdir(parents=True)
    save_file(random_weights(seed), folder / "model.safetensors")
    (folder / "config.json").write_text(json.dumps(CONFIG))
    (folder / "1_Pooling" / "config.json").write_text(json.dumps(settings))
    (folder / "sentence_bert_config.json").write_text(json.dumps({"max_seq_length": POSITIONS}))
    tokenizer = Tokenizer(
        models.WordLevel({word: at for at, word in enumerate(WORDS)}, unk_token="[UNK]")
    )
    tokenizer.normalizer = normalizers.Lowercase()
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    # As all-MiniLM-L6-v2 is published: every text is padded to one length.
    tokenizer.enable_padding(length=POSITIONS)
    tokenizer.save(str(folder / "tokenizer.json"))
    return folder


def tokens(text: str) -> list[int]:
    """Ids of a text with its two marks, cut to the longest length."""
    words = [WORDS.index(word) if word in WORDS else 1 for word in text.lower().split()]
    return [2, *words[: POSITIONS - 2], 3]


def naive_vector(weights: Weights, ids: list[int], *, first: bool = False) -> NDArray[np.float64]:
    """Unit vector of one text, step by step after Vaswani et al., in double precision."""
    w = {name: array.astype(np.float64) for name, array in weights.items()}
    x = np.array(
        [
            w["embeddings.word_embeddings.weight"][token]
            + w["embeddings.position_embeddings.weight"][place]
            + w["embeddings.token_type_embeddings.weight"][0]
            for place, token in enumerate(ids)
        ]
    )
    x = _normal(x, w, "embeddings")
    for layer in range(LAYERS):
        at = f"encoder.layer.{layer}."
        q, k, v = (_dense(x, w, f"{at}attention.self.{name}") for name in ("query", "key", "value"))
        heads = []
        for head in range(HEADS):
            part = slice(head * HIDDEN // HEADS, (head + 1) * HIDDEN // HEADS)
            scores = np.exp(q[:, part] @ k[:, part].T / math.sqrt(HIDDEN // HEADS))
            heads.append(scores / scores.sum(axis=1, keepdims=True) @ v[:, part])
        attended = _dense(np.concatenate(heads, axis=1), w, f"{at}attention.output.dense")
        x = _normal(x + attended, w, f"{at}attention.output")
        inner = _dense(x, w, f"{at}intermediate.dense")
        inner = np.vectorize(lambda z: z * 0.5 * (1 + math.erf(z / math.sqrt(2))))(inner)
        x = _normal(x + _dense(inner, w, f"{at}output.dense"), w, f"{at}output")
    pooled = x[0] if first else x.mean(axis=0)
    return np.asarray(pooled / np.linalg.norm(pooled))


def _dense(
    x: NDArray[np.float64], w: dict[str, NDArray[np.float64]], name: str
) -> NDArray[np.float64]:
    return x @ w[f"{name}.weight"].T + w[f"{name}.bias"]


def _normal(
    x: NDArray[np.float64], w: dict[str, NDArray[np.float64]], name: str
) -> NDArray[np.float64]:
    spread = x - x.mean(axis=1, keepdims=True)
    scaled: NDArray[np.float64] = spread / np.sqrt(
        (spread**2).mean(axis=1, keepdims=True) + EPSILON
    )
    return scaled * w[f"{name}.LayerNorm.weight"] + w[f"{name}.LayerNorm.bias"]
