"""QDQ models of a few nodes on grids that a test chooses."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
from onnx import TensorProto, helper, numpy_helper

Array = npt.NDArray[Any]
OPSET, IR_VERSION = 24, 11


@dataclasses.dataclass(frozen=True)
class On:
    """The grid of a tensor."""

    scale: float
    zero: int
    dtype: str

    def reals(self, q: Array) -> Array:
        """float32 numbers that quantize to q."""
        return ((q.astype(np.float64) - self.zero) * np.float32(self.scale)).astype(np.float32)


def model(
    nodes: Sequence[tuple[str, str, str, dict[str, Any]]],
    inputs: Mapping[str, tuple[int, ...]],
    grids: Mapping[str, On],
    outputs: Sequence[str],
    constants: Mapping[str, Array] | None = None,
) -> onnx.ModelProto:
    """A model of nodes (operator, operands, result, attributes), names parted by blanks.

    Tensors with a grid are quantized, the inputs and outputs among them; constants with one are
    integers behind a DequantizeLinear.
    """
    made: list[onnx.NodeProto] = []
    initializers: list[onnx.TensorProto] = []

    def quantize(name: str, constant: bool = False) -> None:
        grid = grids[name]
        parameters = [f"{name}_scale", f"{name}_zero"]
        values = np.array(grid.scale, np.float32), np.array(grid.zero, grid.dtype)
        initializers.extend(
            numpy_helper.from_array(v, n) for v, n in zip(values, parameters, strict=True)
        )
        if not constant:
            made.append(helper.make_node("QuantizeLinear", [name, *parameters], [f"{name}_int"],
                                         name=f"{name}_q"))
        integers = name if constant else f"{name}_int"
        made.append(helper.make_node("DequantizeLinear", [integers, *parameters], [f"{name}_real"],
                                     name=f"{name}_dq"))

    for name, value in (constants or {}).items():
        initializers.append(numpy_helper.from_array(value, name))
        if name in grids:
            quantize(name, constant=True)
    for name in inputs:
        quantize(name)
    for index, (op, operands, result, attributes) in enumerate(nodes):
        read = [f"{n}_real" if n in grids else n for n in operands.split()]
        made.append(helper.make_node(op, read, [result], name=f"n{index}", **attributes))
        if result in grids:
            quantize(result)
    graph = helper.make_graph(
        made, "small",
        [helper.make_tensor_value_info(n, TensorProto.FLOAT, s) for n, s in inputs.items()],
        [helper.make_tensor_value_info(f"{n}_real", TensorProto.FLOAT, None) for n in outputs],
        initializers,
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)],
                             ir_version=IR_VERSION)
