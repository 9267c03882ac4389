"""QDQ graphs node by node, for tests of graphs that no Case of a codelet is."""

from __future__ import annotations

import numpy as np
import onnx
from onnx import helper, numpy_helper


class Builder:
    """Nodes and constants of a QDQ graph."""

    def __init__(self) -> None:
        self.nodes: list[onnx.NodeProto] = []
        self.constants: list[onnx.TensorProto] = []

    def constant(self, name: str, value: np.ndarray) -> str:
        self.constants.append(numpy_helper.from_array(value, name))
        return name

    def node(self, op: str, name: str, *inputs: str, **attributes: object) -> str:
        self.nodes.append(helper.make_node(op, list(inputs), [name], name=name, **attributes))
        return name

    def stored(
        self, real: str, scale: float | np.ndarray, zero: np.generic, grid: str = "",
        axis: int = 1,
    ) -> str:
        """Q and DQ behind a real tensor; with `grid` the parameters of that tensor.

        scale: an array has one for each element of dimension `axis`.
        """
        if not grid:
            self.constant(f"{real}_scale", np.array(scale, np.float32))
            self.constant(f"{real}_zero", np.full(np.shape(scale), zero))
        parameters = (f"{grid or real}_scale", f"{grid or real}_zero")
        attributes = {"axis": axis} if np.ndim(scale) else {}
        self.node("QuantizeLinear", f"{real}_q", real, *parameters, **attributes)
        return self.node("DequantizeLinear", f"{real}_dq", f"{real}_q", *parameters, **attributes)
