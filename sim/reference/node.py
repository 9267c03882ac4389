"""A node as the reference's operators see it: name, attributes as Python values, opset."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx
from onnx import numpy_helper


@dataclass(frozen=True)
class Node:
    """One ONNX node; `place` opens every message about it."""

    op: str
    name: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    attributes: dict[str, Any]
    opset: int

    @property
    def place(self) -> str:
        return f"node {self.name} ({self.op})"

    def ints(self, name: str, default: tuple[int, ...]) -> tuple[int, ...]:
        return tuple(int(x) for x in self.attributes.get(name, default))

    def get(self, name: str, default: Any) -> Any:
        return self.attributes.get(name, default)


def parse(node: onnx.NodeProto, opset: int) -> Node:
    """The immutable view of an ONNX node; a nameless node is named after its first output."""
    attributes: dict[str, Any] = {}
    for attribute in node.attribute:
        value = onnx.helper.get_attribute_value(attribute)
        if isinstance(value, onnx.TensorProto):
            value = numpy_helper.to_array(value)
        elif isinstance(value, bytes):
            value = value.decode()
        attributes[attribute.name] = value
    name = node.name or f"-> {node.output[0]}"
    return Node(node.op_type, name, tuple(node.input), tuple(node.output), attributes, opset)


def axes_of(node: Node, operand: object, rank: int) -> tuple[int, ...] | None:
    """The `axes` attribute or (newer opsets) input, made non-negative; None where absent."""
    axes = node.attributes.get("axes") if operand is None else np.asarray(operand).reshape(-1)
    if axes is None:
        return None
    return tuple(sorted(int(axis) % rank for axis in axes))
