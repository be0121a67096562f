"""Export of networks as ONNX graphs, which run without PyTorch."""

import logging
import warnings
from collections.abc import Mapping, Sequence
from typing import Any

import onnx
import torch
from onnx import numpy_helper
from torch import Tensor, nn

# Exported graphs by architecture: an export takes seconds, replacing weights takes milliseconds.
_GRAPHS: dict[str, bytes] = {}
EXPORTER = "torch.onnx._internal.exporter._registration"


def export(
    network: nn.Module,
    inputs: Mapping[str, Tensor],
    axes: Mapping[str, Mapping[int, str]],
    outputs: Sequence[str],
) -> bytes:
    """Export a network as a serialised ONNX graph.

    Parameters
    ----------
    network : nn.Module
        Network in eval mode, on the CPU. Its `repr` must include everything that the forward pass
        depends on, except parameters and buffers.
    inputs : dict of str to Tensor
        Example inputs by the names of the parameters of `forward`, in order.
    axes : dict of str to dict of int to str
        For each input, the axes of variable length: axis number to name.
    outputs : list of str
        Names of the outputs.

    Returns
    -------
    bytes
        The serialised graph with the weights of `network`; equal networks give equal bytes.
    """
    shapes = {name: tuple(tensor.shape) for name, tensor in network.state_dict().items()}
    key = repr((type(network), repr(network), shapes, list(inputs), axes, outputs))
    if key not in _GRAPHS:
        _GRAPHS[key] = _export(network, inputs, axes, outputs)
    graph = onnx.load_model_from_string(_GRAPHS[key])
    weights = {name: tensor.numpy() for name, tensor in network.state_dict().items()}
    for initializer in graph.graph.initializer:
        if initializer.name in weights:
            array = numpy_helper.from_array(weights[initializer.name], initializer.name)
            initializer.CopyFrom(array)
    return bytes(graph.SerializeToString(deterministic=True))


def _export(
    network: nn.Module,
    inputs: Mapping[str, Tensor],
    axes: Mapping[str, Mapping[int, str]],
    outputs: Sequence[str],
) -> bytes:
    logger = logging.getLogger(EXPORTER)
    level = logger.level
    logger.setLevel(logging.ERROR)  # the exporter warns if torchvision, not needed here, is missing
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            program: Any = torch.onnx.export(
                network,
                args=tuple(inputs.values()),
                input_names=list(inputs),
                output_names=list(outputs),
                dynamic_shapes=[dict(axes.get(name, {})) or None for name in inputs],
                dynamo=True,
                verbose=False,
                # Constant folding would rename parameters, which must be found by name.
                optimize=False,
            )
    finally:
        logger.setLevel(level)
    graph = program.model_proto
    # Metadata contains source paths, which do not belong in a snapshot.
    for part in (graph.graph, *graph.functions):
        del part.metadata_props[:]
        for node in part.node:
            del node.metadata_props[:]
            node.doc_string = ""
        for value in part.value_info:
            del value.metadata_props[:]
    for value in (*graph.graph.input, *graph.graph.output, *graph.graph.initializer):
        del value.metadata_props[:]
    del graph.metadata_props[:]
    return bytes(graph.SerializeToString(deterministic=True))
