"""Graphs made by hand, run, and held against what NumPy says."""

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from nearline.common.inference import OnnxGraph
from nearline.errors import Damaged


def graph() -> bytes:
    """A product of two matrices, and its sum over rows."""
    number = TensorProto.FLOAT
    nodes = [
        helper.make_node("MatMul", ["a", "b"], ["product"]),
        helper.make_node("ReduceSum", ["product", "axes"], ["sums"], keepdims=0),
    ]
    axes = helper.make_tensor("axes", TensorProto.INT64, [1], [0])
    body = helper.make_graph(
        nodes,
        "product",
        [
            helper.make_tensor_value_info("a", number, ["n", 3]),
            helper.make_tensor_value_info("b", number, [3, 2]),
        ],
        [
            helper.make_tensor_value_info("product", number, ["n", 2]),
            helper.make_tensor_value_info("sums", number, [2]),
        ],
        [axes],
    )
    model = helper.make_model(body, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    onnx.checker.check_model(model)
    return bytes(model.SerializeToString())


@pytest.mark.parametrize("rows", [1, 4])
def test_outputs_are_those_of_numpy(rows: int, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    a = rng.normal(size=(rows, 3)).astype(np.float32)
    b = rng.normal(size=(3, 2)).astype(np.float32)
    file = tmp_path / "graph.onnx"
    file.write_bytes(graph())
    for run in (OnnxGraph(graph()), OnnxGraph(file, threads=2)):
        assert (run.inputs, run.outputs) == (["a", "b"], ["product", "sums"])
        product, sums = run(a=a, b=b)
        np.testing.assert_allclose(product, a @ b, rtol=1e-6)
        np.testing.assert_allclose(sums, (a @ b).sum(axis=0), rtol=1e-5)


def test_an_invalid_graph_is_reported(tmp_path: Path) -> None:
    file = tmp_path / "half.onnx"
    file.write_bytes(graph()[:40])
    with pytest.raises(Damaged, match=r"half\.onnx"):
        OnnxGraph(file)
    with pytest.raises(Damaged, match="export it again"):
        OnnxGraph(b"nothing")
