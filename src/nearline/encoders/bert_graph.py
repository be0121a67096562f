"""Conversion of BERT weights in a safetensors file to an ONNX graph.

J. Devlin, M. Chang, K. Lee, K. Toutanova, "BERT: pre-training of deep bidirectional transformers
for language understanding", NAACL 2019; the network is that of A. Vaswani and others, "Attention is
all you need", NIPS 2017, section 3.1, with post-layer normalisation. Most sentence encoders have
this architecture (MiniLM, BGE, E5, GTE); others need a ``model.onnx``.

The graph uses fused operators of ONNX Runtime.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors import safe_open

from nearline.encoders.onnx_file import FUSED, Node, model_bytes
from nearline.errors import Damaged, InvalidInput

Tensors = Mapping[str, NDArray[np.float32]]

HIDDEN = "last_hidden_state"


def bert_graph(folder: Path) -> bytes:
    """Build a serialised ONNX graph from ``config.json`` and ``model.safetensors`` of a folder.

    For n texts of at most `length` tokens, the inputs are ``input_ids`` and ``attention_mask``,
    int32 [n, length]. The output ``last_hidden_state``, float32 [n, length, hidden], has one
    vector per token.

    Raises
    ------
    InvalidInput
        The network is not a BERT encoder.
    Damaged
        A weight is missing.
    """
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    found = {
        "model_type": config.get("model_type"),
        "hidden_act": config.get("hidden_act", "gelu"),
        "position_embedding_type": config.get("position_embedding_type") or "absolute",
    }
    if found != {"model_type": "bert", "hidden_act": "gelu", "position_embedding_type": "absolute"}:
        raise InvalidInput(
            f"{folder} contains a network of another kind ({found}) than BERT with GELU and "
            "absolute positions; export it to ONNX and put model.onnx beside its tokenizer.json",
            field="encoder",
        )
    with safe_open(folder / "model.safetensors", framework="np") as file:
        weights = {
            name.removeprefix("bert."): np.asarray(file.get_tensor(name), dtype=np.float32)
            for name in file.keys()  # noqa: SIM118 (the file is no mapping)
            if "position_ids" not in name and "pooler" not in name
        }
    try:
        return build_bert(weights, config)
    except KeyError as error:
        raise Damaged(
            f"{folder / 'model.safetensors'} lacks the weight {error}; fetch the model again"
        ) from None


def build_bert(weights: Tensors, config: Mapping[str, Any]) -> bytes:
    """Build the ONNX graph of a BERT network.

    Parameters
    ----------
    weights : dict of str to float32 array
        Weights by the names of the published models, without the prefix ``bert.``.
    config : mapping
        Content of the model's ``config.json``.

    Returns
    -------
    bytes
        The serialised graph, as described in `bert_graph`.

    Raises
    ------
    KeyError
        A weight is missing.
    """
    epsilon = float(config.get("layer_norm_eps", 1e-12))
    heads = int(config["num_attention_heads"])
    normal = "embeddings.LayerNorm"
    tensors = {
        "words": weights["embeddings.word_embeddings.weight"],
        # A text is a single segment, so the embedding of segment 0 is added to all positions.
        "positions": weights["embeddings.position_embeddings.weight"]
        + weights["embeddings.token_type_embeddings.weight"][0],
        "embeddings.scale": weights[f"{normal}.weight"],
        "embeddings.shift": weights[f"{normal}.bias"],
    }
    embedded = ["input_ids", "", "words", "positions", "", "embeddings.scale", "embeddings.shift"]
    # ONNX Runtime requires a second output, for a mask that is not used.
    outputs = ["x0", "mask_index"]
    embed = f"{FUSED}:EmbedLayerNormalization"
    nodes = [Node(embed, embedded, outputs, {"epsilon": epsilon})]
    n_layers = int(config["num_hidden_layers"])
    for layer in range(n_layers):
        of_layer = _layer_tensors(weights, f"encoder.layer.{layer}.")
        tensors |= {f"{layer}.{name}": array for name, array in of_layer.items()}
        out = HIDDEN if layer == n_layers - 1 else f"x{layer + 1}"
        nodes += _layer_nodes(layer, out, heads, epsilon)
    shape = ("n", "length")
    inputs = {"input_ids": ("int32", shape), "attention_mask": ("int32", shape)}
    hidden = tensors["words"].shape[1]
    return model_bytes(nodes, tensors, inputs, {HIDDEN: ("float32", (*shape, hidden))})


def _layer_tensors(weights: Tensors, prefix: str) -> dict[str, NDArray[np.float32]]:
    parts = [f"{prefix}attention.self.{name}" for name in ("query", "key", "value")]
    tensors = {
        "qkv": np.concatenate([weights[f"{part}.weight"] for part in parts]).T,
        "qkv.bias": np.concatenate([weights[f"{part}.bias"] for part in parts]),
    }
    for name, there in (
        ("out", "attention.output.dense"),
        ("up", "intermediate.dense"),
        ("down", "output.dense"),
    ):
        tensors[name] = weights[f"{prefix}{there}.weight"].T
        tensors[f"{name}.bias"] = weights[f"{prefix}{there}.bias"]
    for name, there in (("first", "attention.output"), ("second", "output")):
        tensors[f"{name}.scale"] = weights[f"{prefix}{there}.LayerNorm.weight"]
        tensors[f"{name}.shift"] = weights[f"{prefix}{there}.LayerNorm.bias"]
    return tensors


def _layer_nodes(layer: int, out: str, heads: int, epsilon: float) -> list[Node]:
    x, at = f"x{layer}", f"{layer}."
    attended = [x, f"{at}qkv", f"{at}qkv.bias", "attention_mask"]
    first = [f"{at}o", x, f"{at}first.scale", f"{at}first.shift", f"{at}out.bias"]
    second = [f"{at}d", f"{at}y", f"{at}second.scale", f"{at}second.shift", f"{at}down.bias"]
    normal = f"{FUSED}:SkipLayerNormalization"
    return [
        Node(f"{FUSED}:Attention", attended, [f"{at}a"], {"num_heads": heads}),
        Node("MatMul", [f"{at}a", f"{at}out"], [f"{at}o"]),
        Node(normal, first, [f"{at}y"], {"epsilon": epsilon}),
        Node("MatMul", [f"{at}y", f"{at}up"], [f"{at}u"]),
        Node(f"{FUSED}:BiasGelu", [f"{at}u", f"{at}up.bias"], [f"{at}g"]),
        Node("MatMul", [f"{at}g", f"{at}down"], [f"{at}d"]),
        Node(normal, second, [out], {"epsilon": epsilon}),
    ]
