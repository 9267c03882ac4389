"""Scaled dot-product attention: the guard against NaN, and the scale.

Exporters multiply Q and K by the root of the scale each. Here the factor moves into the weights of
the layer that gives Q, or behind the product where there is none; both are the same reals.
"""

import numpy as np
import onnx

from jacquard.compiler.frontend.patterns.movement import MOVEMENTS
from jacquard.compiler.frontend.patterns.view import View

_SCALINGS = ("Mul", "Div")
# Results are finite where the operands are; of data no bigger than a float network holds.
_KEEPS_FINITE = ("Add", "Sub", "Mul", "Concat", "Expand", "Slice", "Cast", "Gather", "Clip",
                 *MOVEMENTS)
_FINITE = ("MatMul", "Gemm", "Conv", "LayerNormalization", "RMSNormalization", "Softmax", "Gelu",
           "Tanh", "Sigmoid", "Erf", "Relu", "Swish", "Einsum")


def drop_nan_guards(view: View) -> bool:
    """Where(IsNaN(p), c, p) behind a Softmax p whose rows cannot be -inf throughout.

    A finite mask (-3.4e38) cannot make NaN even if it masks a whole row. Behind an infinite mask
    that depends on data the guard stays.
    """
    changed = False
    for node in list(view.nodes):
        if node.op_type != "Where":
            continue
        test = view.producer(node.input[0], "IsNaN")
        softmax = view.producer(node.input[2], "Softmax")
        if test is None or softmax is None or test.input[0] != node.input[2]:
            continue
        if _row_has_number(view, softmax.input[0]):
            changed |= view.bypass(node, node.input[2])
    return changed


def _row_has_number(view: View, name: str) -> bool:
    """Whether each row along the last axis is free of NaN and +inf and not -inf throughout."""
    if _finite(view, name):
        return True
    node = view.producer(name, "Add")
    if node is None:
        return False
    for scores, mask in (node.input, tuple(node.input)[::-1]):
        values = view.constant(mask)
        if values is not None and values.ndim and _finite(view, scores):
            legal = np.isfinite(values) | np.isneginf(values)
            return bool(legal.all() and np.isfinite(values).any(axis=-1).all())
    return False


def _finite(view: View, name: str) -> bool:
    values = view.constant(name)
    if values is not None:
        return bool(np.isfinite(values).all()) if values.dtype.kind == "f" else True
    if view.types.get(name) not in (None, 0, onnx.TensorProto.FLOAT):
        return True  # integers and booleans
    node = view.producer(name)
    if node is None:
        return False  # an input may hold anything
    if node.op_type == "Where":
        return all(_finite(view, operand) for operand in node.input[1:])
    if node.op_type == "Div":
        divisor = view.scalar(node.input[1])
        return divisor not in (None, 0.0) and _finite(view, node.input[0])
    if node.op_type in _KEEPS_FINITE:
        return all(_finite(view, operand) for operand in node.input if operand)
    return node.op_type in _FINITE


def merge_scales(view: View) -> bool:
    """Constant factors on the operands and the result of a product of two activations, as one."""
    changed = False
    for node in list(view.nodes):
        if node.op_type != "MatMul" or any(name in view.tensors for name in node.input):
            continue
        scalings = [s for name in node.input if (s := _scaling_before(view, name)) is not None]
        after = _scaling_of(view, node.output[0])
        if not scalings and (after is None or not _linear_before(view, node.input[0])):
            continue  # nothing to merge, or one factor behind the product that nothing can take
        factor = 1.0
        for scaling, value in scalings:
            if view.bypass(scaling, _scaled_operand(view, scaling)):
                factor *= value
                changed = True
        if after is not None and view.bypass(after[0], node.output[0]):
            factor *= after[1]
        if factor == 1.0:
            continue
        changed = True
        if _scale_linear(view, node.input[0], factor):
            continue
        inner = f"{node.output[0]}.unscaled"
        constant = view.add_constant(f"{node.name}.scale", np.array(factor, np.float32))
        view.replace(node, [
            view.make("MatMul", node.input, inner, node.name),
            view.make("Mul", [inner, constant], node.output[0], f"{node.name}.scaled"),
        ])
    return changed


def _scaling_before(view: View, name: str) -> tuple[onnx.NodeProto, float] | None:
    """A Mul or Div by a constant from which `name` comes by movements alone, for it alone."""
    while view.read_once(name):
        node = view.producer(name)
        if node is None:
            return None
        if node.op_type in _SCALINGS:
            value = _factor(view, node)
            return None if value is None else (node, value)
        if node.op_type not in MOVEMENTS:
            return None
        name = node.input[0]
    return None


def _scaling_of(view: View, name: str) -> tuple[onnx.NodeProto, float] | None:
    if not view.read_once(name):
        return None
    node = view.readers(name)[0]
    value = _factor(view, node) if node.op_type in _SCALINGS and node.input[0] == name else None
    return None if value is None else (node, value)


def _factor(view: View, node: onnx.NodeProto) -> float | None:
    value = view.scalar(node.input[1])
    if value is None and node.op_type == "Mul":
        value = view.scalar(node.input[0])
    if value is None or not np.isfinite(value) or value == 0.0:
        return None
    return 1.0 / value if node.op_type == "Div" else value


def _scaled_operand(view: View, node: onnx.NodeProto) -> str:
    second = node.op_type == "Mul" and view.scalar(node.input[1]) is None
    return str(node.input[1 if second else 0])


def _linear_before(view: View, name: str) -> list[str]:
    """Weights and bias of the layer that gives `name` by movements, where nothing else reads it."""
    while view.read_once(name):
        node = view.producer(name)
        if node is None:
            return []
        if node.op_type in ("MatMul", "Gemm"):
            constants = list(node.input[1:])
            if node.op_type == "Gemm" and len(node.attribute):
                plain = all(a.name in ("transA", "transB") for a in node.attribute)
                if not plain:
                    return []
            owned = all(name in view.tensors and view.read_once(name) for name in constants)
            return constants if owned else []
        if node.op_type == "Add" and view.constant(node.input[1]) is not None:
            if not view.read_once(node.input[1]):
                return []
            weights = _linear_before(view, node.input[0])
            return [*weights, node.input[1]] if weights else []
        if node.op_type not in MOVEMENTS:
            return []
        name = node.input[0]
    return []


def _scale_linear(view: View, name: str, factor: float) -> bool:
    """Multiplies weights and bias of the layer behind `name`; False where there is none."""
    constants = _linear_before(view, name)
    for constant in constants:
        values = view.constant(constant)
        assert values is not None
        view.set_constant(constant, (values * np.float64(factor)).astype(values.dtype))
    return bool(constants)
