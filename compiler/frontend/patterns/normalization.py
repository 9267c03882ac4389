"""LayerNormalization and RMSNormalization from their parts."""

import numpy as np
import onnx

from jacquard.compiler.frontend.patterns.view import View, attributes_of, axes_of


def fold_layer_norm(view: View) -> bool:
    """(x - mean) / sqrt(mean((x - mean)^2) + eps) * gamma + beta over the last axis."""
    changed = False
    for node in list(view.nodes):
        parts = _normalized(view, node)
        if parts is None:
            continue
        centred, epsilon = parts
        source = _centred_from(view, centred)
        if source is None:
            continue
        last, gamma, beta = _affine(view, node, source)
        made = view.make("LayerNormalization", [source, gamma, beta], last.output[0], last.name,
                         axis=-1, epsilon=epsilon)
        view.replace(last, [made])
        changed = True
    return changed


def fold_rms_norm(view: View) -> bool:
    """x / sqrt(mean(x^2) + eps) * gamma over the last axis."""
    changed = False
    for node in list(view.nodes):
        parts = _normalized(view, node)
        if parts is None or _centred_from(view, parts[0]) is not None:
            continue
        source, epsilon = parts
        last, gamma, _ = _affine(view, node, source, offset=False)
        made = view.make("RMSNormalization", [source, gamma], last.output[0], last.name,
                         axis=-1, epsilon=epsilon)
        view.replace(last, [made])
        changed = True
    return changed


def _normalized(view: View, node: onnx.NodeProto) -> tuple[str, float] | None:
    """(d, eps) where `node` is d / sqrt(mean(d^2) + eps), however the quotient is written."""
    if node.op_type == "Div":
        pairs = [(node.input[0], _root(view, node.input[1], 1))]
    elif node.op_type == "Mul":
        left, right = node.input
        pairs = [(left, _root(view, right, -1)), (right, _root(view, left, -1))]
    else:
        return None
    for value, biased in pairs:
        add = None if biased is None else view.producer(biased, "Add")
        if add is None:
            continue
        for variance, constant in (add.input, tuple(add.input)[::-1]):
            epsilon = view.scalar(constant)
            mean = view.producer(variance, "ReduceMean")
            if epsilon is None or mean is None or not _over_last_axis(view, mean):
                continue
            if _squared(view, mean.input[0], value):
                return value, epsilon
    return None


def _root(view: View, name: str, sign: int) -> str | None:
    """The operand of sqrt (sign 1), or of 1 / sqrt (sign -1), that gives `name`."""
    power = view.producer(name, "Pow")
    if power is not None:
        return power.input[0] if view.is_scalar(power.input[1], 0.5 * sign) else None
    if sign == 1:
        root = view.producer(name, "Sqrt")
        return None if root is None else root.input[0]
    reciprocal = view.producer(name, "Reciprocal")
    if reciprocal is not None:
        return _root(view, reciprocal.input[0], 1)
    quotient = view.producer(name, "Div")
    if quotient is not None and view.is_scalar(quotient.input[0], 1.0):
        return _root(view, quotient.input[1], 1)
    return None


def _squared(view: View, name: str, value: str) -> bool:
    """Whether `name` is the square of `value`, or of an equal difference."""
    node = view.producer(name, "Pow", "Mul")
    if node is None:
        return False
    if node.op_type == "Pow":
        exponent = view.constant(node.input[1])
        if exponent is None or exponent.size != 1 or float(exponent.reshape(())) != 2.0:
            return False
    elif node.input[0] != node.input[1]:
        return False
    if node.input[0] == value:
        return True
    first, second = view.producer(node.input[0], "Sub"), view.producer(value, "Sub")
    return first is not None and second is not None and list(first.input) == list(second.input)


def _centred_from(view: View, name: str) -> str | None:
    """x where `name` is x - mean(x)."""
    sub = view.producer(name, "Sub")
    mean = None if sub is None else view.producer(sub.input[1], "ReduceMean")
    if sub is None or mean is None or mean.input[0] != sub.input[0]:
        return None
    return sub.input[0] if _over_last_axis(view, mean) else None


def _over_last_axis(view: View, node: onnx.NodeProto) -> bool:
    shape = view.shapes.get(node.input[0])
    axes = axes_of(view, node)
    keeps = attributes_of(node).get("keepdims", 1)
    return bool(shape and keeps and axes in ([-1], [len(shape) - 1]))


def _affine(
    view: View, node: onnx.NodeProto, source: str, offset: bool = True
) -> tuple[onnx.NodeProto, str, str]:
    """The last node of the affine part behind `node`; gamma and beta, made up where missing."""
    size = view.shapes[source][-1]
    last, gamma = _constant_behind(view, node, "Mul", size)
    beta = ""
    if offset:
        last, beta = _constant_behind(view, last, "Add", size)
    gamma = gamma or view.add_constant(f"{node.name}.gamma", np.ones(size, np.float32))
    if offset and not beta:
        beta = view.add_constant(f"{node.name}.beta", np.zeros(size, np.float32))
    return last, gamma, beta


def _constant_behind(
    view: View, node: onnx.NodeProto, operator: str, size: int
) -> tuple[onnx.NodeProto, str]:
    """The only reader of `node`, an `operator` with a vector of `size`; else `node` itself."""
    result = node.output[0]
    reader = view.readers(result)[0] if view.read_once(result) else None
    if reader is not None and reader.op_type == operator:
        other = reader.input[1] if reader.input[0] == result else reader.input[0]
        values = view.constant(other)
        if values is not None and values.size == size == values.shape[-1]:
            if values.ndim > 1:
                other = view.add_constant(f"{other}.vector", values.reshape(size))
            return reader, other
    return node, ""
