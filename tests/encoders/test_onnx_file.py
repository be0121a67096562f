"""Files written by hand, read by the library of the format."""

from typing import Any

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray
from onnx import numpy_helper

from nearline.common.inference import OnnxGraph
from nearline.encoders.onnx_file import Node, model_bytes

SHAPE = ("n", 3)


def test_the_onnx_package_reads_what_is_written() -> None:
    tensors: dict[str, NDArray[Any]] = {
        "weights": np.arange(6, dtype=np.float32).reshape(3, 2),
        "order": np.array([1, 0, 300], dtype=np.int64)[:2],
        "large": np.array([[70_000]], dtype=np.int32),
    }
    node = Node("LeakyRelu", ["x"], ["y"], {"alpha": 0.25})
    other = Node("com.microsoft:FusedMatMul", ["y", "weights"], ["z"], {"transA": 0})
    data = model_bytes(
        [node, other], tensors, {"x": ("float32", SHAPE)}, {"z": ("float32", ("n", 2))}
    )
    model = onnx.load_from_string(data)
    onnx.checker.check_model(model)
    assert [(opset.domain, opset.version) for opset in model.opset_import] == [
        ("", 17),
        ("com.microsoft", 1),
    ]
    first, second = model.graph.node
    assert (first.op_type, first.domain, list(first.input), list(first.output)) == (
        "LeakyRelu",
        "",
        ["x"],
        ["y"],
    )
    assert [(a.name, onnx.helper.get_attribute_value(a)) for a in first.attribute] == [
        ("alpha", 0.25)
    ]
    assert (second.op_type, second.domain) == ("FusedMatMul", "com.microsoft")
    for written in model.graph.initializer:
        np.testing.assert_array_equal(numpy_helper.to_array(written), tensors[written.name])
    dims = [
        dim.dim_param or dim.dim_value for dim in model.graph.input[0].type.tensor_type.shape.dim
    ]
    assert dims == ["n", 3]


@pytest.mark.parametrize("rows", [1, 5])
def test_onnx_runtime_runs_the_model(rows: int) -> None:
    weights = np.array([[1, 2], [3, 4], [5, 6]], dtype=np.float32)
    nodes = [Node("MatMul", ["x", "w"], ["y"])]
    data = model_bytes(
        nodes, {"w": weights.T.copy().T}, {"x": ("float32", SHAPE)}, {"y": ("float32", ("n", 2))}
    )
    x = np.ones((rows, 3), dtype=np.float32)
    np.testing.assert_array_equal(OnnxGraph(data)(x=x)[0], x @ weights)
