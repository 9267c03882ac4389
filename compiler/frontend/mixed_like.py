"""Grids of a model that is quantized already, for another form of it.

A decode step reads the keys and values that its prefill wrote, and its layers have the prefill's
weights: on the same grids the cache needs no requantization, and biases are the same integers.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import onnx
from onnx import numpy_helper

from jacquard.compiler.frontend.mixed_plan import NARROW, PRODUCTS, WIDE, Bits, Plan


@dataclass(frozen=True)
class Grid:
    """Of a tensor: real = scale * (integer - zero point). scale: float32, 0-d or [heads]."""

    scale: npt.NDArray[np.float32]
    zero_point: npt.NDArray[np.generic]

    @property
    def width(self) -> Bits:
        return WIDE if self.zero_point.itemsize == 2 else NARROW


def shared_grids(like: onnx.ModelProto, plan: Plan) -> dict[tuple[str, Bits], Grid]:
    """(tensor of the plan's graph, its width) -> the grid that its counterpart in `like` has.

    Counterparts: outputs of one name, and first operands of products with weights of one name.
    """
    tensors = {tensor.name: tensor for tensor in like.graph.initializer}
    dequantized = {
        node.output[0]: node for node in like.graph.node if node.op_type == "DequantizeLinear"
    }

    def grid(name: str) -> Grid | None:
        node = dequantized.get(name)
        if node is None or any(parameter not in tensors for parameter in node.input[1:3]):
            return None
        scale, zero_point = (numpy_helper.to_array(tensors[p]) for p in node.input[1:3])
        return Grid(scale, zero_point)

    layers = {}
    for node in like.graph.node:
        weights = dequantized.get(node.input[1]) if node.op_type in PRODUCTS else None
        if weights is not None and weights.input[0] in tensors:
            layers[weights.input[0].removesuffix("_quantized")] = grid(node.input[0])
    found: dict[tuple[str, Bits], Grid] = {}
    given = [(value.name, grid(value.name)) for value in like.graph.output]
    given = [(name, at) for name, at in given if name in plan.view.outputs]
    given += [
        (node.input[0], layers.get(node.input[1]))
        for node in plan.view.nodes if node.op_type in PRODUCTS
    ]
    for name, at in given:
        if at is not None:
            found.setdefault((plan.root(name), at.width), at)
    return found
