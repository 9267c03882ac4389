"""Constants come second, divide nothing, and two that are added in a row are one."""

import numpy as np
import onnx

from jacquard.compiler.frontend.patterns.view import View
from jacquard.proto.lib.masks import LEAST_MASK

_COMMUTATIVE = ("Add", "Mul")


def constants_second(view: View) -> bool:
    """Add(c, x) is Add(x, c); a bias is found in one place."""
    changed = False
    for node in view.nodes:
        if node.op_type not in _COMMUTATIVE or node.domain:
            continue
        if node.input[0] in view.tensors and node.input[1] not in view.tensors:
            node.input[:] = [node.input[1], node.input[0]]
            changed = True
    return changed


def quotients_to_products(view: View) -> bool:
    """Div by a number is Mul by its reciprocal: one form of a scale."""
    changed = False
    for node in list(view.nodes):
        divisor = view.scalar(node.input[1]) if node.op_type == "Div" else None
        if divisor is None or divisor == 0.0 or not np.isfinite(divisor):
            continue
        value = view.constant(node.input[1])
        assert value is not None
        name = view.add_constant(f"{node.name}.reciprocal", (1.0 / value).astype(value.dtype))
        made = view.make("Mul", [node.input[0], name], node.output[0], node.name)
        view.replace(node, [made])
        changed = True
    return changed


def merge_added_constants(view: View) -> bool:
    """Add(Add(x, a), b) is Add(x, a + b): token-type and position embeddings of one length."""
    changed = False
    for node in list(view.nodes):
        first = _added(view, node)
        inner = None if first is None else view.producer(node.input[0], "Add")
        second = None if inner is None else _added(view, inner)
        if inner is None or first is None or second is None or not view.read_once(inner.output[0]):
            continue
        if (second <= LEAST_MASK).any() != (first <= LEAST_MASK).any():
            continue  # a bias is data, a mask is none
        total = np.add(second, first)
        wide = np.broadcast_shapes(total.shape, view.shapes.get(inner.input[0], ()))
        if wide != view.shapes.get(node.output[0]) or total.size > max(first.size, second.size):
            continue
        name = view.add_constant(f"{node.name}.constant", total)
        made = view.make("Add", [inner.input[0], name], node.output[0], node.name)
        view.replace(node, [made])
        changed = True
    return changed


def _added(view: View, node: onnx.NodeProto) -> np.ndarray | None:
    return view.constant(node.input[1]) if node.op_type == "Add" else None
