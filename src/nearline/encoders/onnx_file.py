"""ONNX files written without the `onnx` package, which the default install does not have.

Only what a graph of named tensors and nodes needs of the format (github.com/onnx/onnx,
onnx/onnx.proto: the numbers below are those of its fields), in Protocol Buffers' wire encoding.
"""

import struct
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

# Version 8 of the file format and 17 of the operators: read by every ONNX Runtime since 1.13.
IR_VERSION, OPERATORS = 8, 17
# ONNX Runtime's own fused operators.
FUSED = "com.microsoft"

_ELEMENT = {"float32": 1, "int32": 6, "int64": 7}
_FLOAT, _INT = 1, 2
_VARINT, _BYTES, _FIXED_32 = 0, 2, 5

Field = tuple[int, int | float | str | bytes]


class Node(NamedTuple):
    """One operation.

    Attributes
    ----------
    operator : str
        ``domain:Name`` for operators that are not ONNX's own.
    inputs : sequence of str
        Names of tensors; "" leaves an optional one out.
    outputs : sequence of str
        Names of what it makes.
    attributes : dict
        Whole and floating numbers.
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
    """Write a model.

    Parameters
    ----------
    nodes : sequence of Node
        In an order in which they can run.
    tensors : dict of str to array
        Constants: float32, int32 or int64.
    inputs, outputs : dict of str to (element, shape)
        Their element type, by NumPy's name, and shape; a name in it stands for any length.
    """
    domains = {"": OPERATORS} | ({FUSED: 1} if any(":" in node.operator for node in nodes) else {})
    graph = _message(
        [
            *((1, _node(node)) for node in nodes),
            (2, "graph"),
            *((5, _tensor(name, array)) for name, array in tensors.items()),
            *((11, _value(name, *told)) for name, told in inputs.items()),
            *((12, _value(name, *told)) for name, told in outputs.items()),
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
    """Seven bits a byte, lowest first; the highest bit says that more follow."""
    found = bytearray()
    while number > 127:
        found.append(number & 127 | 128)
        number >>= 7
    found.append(number)
    return bytes(found)
