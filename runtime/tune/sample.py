"""A small network for the tests: products, one after another."""

from __future__ import annotations

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from jacquard.compiler.frontend.import_model import import_model
from jacquard.compiler.frontend.quantize import quantize_model


def chain(widths: list[int]) -> onnx.ModelProto:
    """Products p0, p1, ... of [24, .] with matrices of these widths, quantized."""
    rng = np.random.default_rng(0)
    names = ["x", *(f"t{i}" for i in range(len(widths) - 2)), "y"]
    nodes, weights = [], []
    for i, shape in enumerate(zip(widths, widths[1:], strict=False)):
        nodes.append(helper.make_node("MatMul", [names[i], f"w{i}"], [names[i + 1]], name=f"p{i}"))
        array = rng.standard_normal(shape, dtype=np.float32) / 8
        weights.append(numpy_helper.from_array(array, f"w{i}"))
    value = helper.make_tensor_value_info
    ends = [value(n, TensorProto.FLOAT, (24, w)) for n, w in (("x", widths[0]), ("y", widths[-1]))]
    graph = helper.make_graph(nodes, "chain", ends[:1], ends[1:], weights)
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=10)
    given = {"x": rng.standard_normal((24, widths[0]), dtype=np.float32)}
    return quantize_model(import_model(made.SerializeToString()), [given])
