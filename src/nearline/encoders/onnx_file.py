"""Writer of ONNX files that does not need the package `onnx`, an optional dependency.

It writes the fields that a graph of named tensors and nodes needs (github.com/onnx/onnx,
onnx/onnx.proto, whose field numbers are used below) in the wire format of Protocol Buffers.
"""

import struct
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

# Version 8 of the file format and 17 of the operator set: supported by ONNX Runtime since 1.13.
IR_VERSION, OPERATORS = 8, 17
# Domain of ONNX Runtime's fused operators.
FUSED = "com.microsoft"

_ELEMENT = {"float32": 1, "int32": 6, "int64": 7}
_FLOAT, _INT = 1, 2
_VARINT, _BYTES, _FIXED_32 = 0, 2, 5

Field = tuple[int, int | float | str | bytes]


class Node(NamedTuple):
    """Node of an ONNX graph: one operator with its inputs and outputs.

    Attributes
    ----------
    operator : str
        Name of the operator; ``domain:Name`` for operators outside the ONNX standard.
    inputs : sequence of str
        Names of the input tensors; "" omits an optional input.
    outputs : sequence of str
        Names of the output tensors.
    attributes : dict
        Attributes of the operator by name.
    """

    operator: str
    inputs: Sequence[str]
    outputs: Sequence[str]
    attributes: Mapping[str, int | float] = {}


def model_bytes(
    nodes: Sequence[Node],
    tensors: Mapping[str, NDArray[Any]],
    inputs: Mapping[str, tuple[str, Sequence[str | int]]],
    outputs: Mapping[str, tuple[str, Sequence[str | int]]],
) -> bytes:
    """Serialise an ONNX model.

    Parameters
    ----------
    nodes : sequence of Node
        Nodes in topological order.
    tensors : dict of str to array
        Constant tensors by name, with dtype float32, int32 or int64.
    inputs, outputs : dict of str to (dtype, shape)
        NumPy name of the dtype, and shape, by the name of the input or output. A string in a
        shape names an axis of variable length.
    """
    domains = {"": OPERATORS} | ({FUSED: 1} if any(":" in node.operator for node in nodes) else {})
    graph = _message(
        [
            *((1, _node(node)) for node in nodes),
            (2, "graph"),
            *((5, _tensor(name, array)) for name, array in tensors.items()),
            *((11, _value(name, *spec)) for name, spec in inputs.items()),
            *((12, _value(name, *spec)) for name, spec in outputs.items()),
        ]
    )
    opsets = [(8, _message([(1, domain), (2, number)])) for domain, number in domains.items()]
    return _message([(1, IR_VERSION), (7, graph), *opsets])


def _node(node: Node) -> bytes:
    domain, _, operator = node.operator.rpartition(":")
    attributes = [(5, _attribute(name, value)) for name, value in node.attributes.items()]
    names: list[Field] = [(1, name) for name in node.inputs]
    names += [(2, name) for name in node.outputs]
    return _message([*names, (4, operator), *attributes, (7, domain)])


def _attribute(name: str, value: int | float) -> bytes:
    if isinstance(value, float):
        return _message([(1, name), (2, value), (20, _FLOAT)])
    return _message([(1, name), (3, value), (20, _INT)])


def _tensor(name: str, array: NDArray[Any]) -> bytes:
    dims: list[Field] = [(1, length) for length in array.shape]
    little = np.ascontiguousarray(array).astype(array.dtype.newbyteorder("<"), copy=False)
    return _message([*dims, (2, _ELEMENT[array.dtype.name]), (8, name), (9, little.tobytes())])


def _value(name: str, element: str, shape: Sequence[str | int]) -> bytes:
    dims = [_message([(2 if isinstance(length, str) else 1, length)]) for length in shape]
    tensor = _message([(1, _ELEMENT[element]), (2, _message([(1, dim) for dim in dims]))])
    return _message([(1, name), (2, _message([(1, tensor)]))])


def _message(fields: Iterable[Field]) -> bytes:
    parts = []
    for number, value in fields:
        if isinstance(value, int):
            parts += [_varint(number << 3 | _VARINT), _varint(value)]
        elif isinstance(value, float):
            parts += [_varint(number << 3 | _FIXED_32), struct.pack("<f", value)]
        else:
            content = value.encode() if isinstance(value, str) else value
            parts += [_varint(number << 3 | _BYTES), _varint(len(content)), content]
    return b"".join(parts)


def _varint(number: int) -> bytes:
    """Encode an unsigned integer as a Protocol Buffers varint."""
    found = bytearray()
    while number > 127:
        found.append(number & 127 | 128)
        number >>= 7
    found.append(number)
    return bytes(found)
