"""What stands behind a product and becomes part of it: a bias per column, a factor."""

from __future__ import annotations

import dataclasses

import numpy as np

from jacquard.compiler.codelets._linear import Weights, bias_steps, scaled
from jacquard.compiler.codelets.base import (
    Array,
    Constant,
    Node,
    Operand,
    Parsed,
    QuantizedConstant,
    Result,
)


def product_step(parsed: Parsed) -> Array:
    """What one step of the accumulators is worth: float64, 0-d or one per column."""
    scale = np.float64(parsed.inputs[0].grid.scale)
    if "weights" in parsed.attrs:
        weights: Weights = parsed.attrs["weights"]
        return weights.step(scale)
    return scaled(np.asarray(scale * parsed.inputs[1].grid.scale), parsed.attrs.get("gains", ()))


def absorb(parsed: Parsed, node: Node) -> Parsed | None:
    """Add of one constant per column, or of one for all, is a bias if nothing came before it; Mul
    and Div by one positive constant are a factor. Anything else must be quantized first: None."""
    if len(node.operands) != 2:
        return None
    index = 1 if isinstance(node.operand(0), Result) else 0
    result, constant = node.operand(1 - index), node.operand(index)
    assert isinstance(result, Result)
    if len(_shape(constant)) > len(result.shape):
        return None
    if node.op == "Add":
        return _biased(parsed, node, index, _shape(constant), result.shape[-1])
    return factor(parsed, node)


def factor(parsed: Parsed, node: Node) -> Parsed | None:
    """The same for Mul and Div alone."""
    index = 1 if isinstance(node.operand(0), Result) else 0
    constant = node.operand(index)
    if node.op not in ("Mul", "Div") or not isinstance(constant, Constant):
        return None
    result = node.operand(1 - index)
    assert isinstance(result, Result)
    if constant.value.size != 1 or constant.value.ndim > len(result.shape):
        return None
    gain = float(constant.value.reshape(()))
    if node.op == "Div":
        if index == 0 or gain == 0:
            return None
        gain = float(1.0 / np.float64(gain))
    if not np.isfinite(gain) or gain <= 0:
        return None
    attrs = {**parsed.attrs, "absorbed": True}
    if "weights" in attrs:
        weights: Weights = attrs["weights"]
        attrs["weights"] = dataclasses.replace(weights, gains=(*weights.gains, gain))
    else:
        attrs["gains"] = (*attrs.get("gains", ()), gain)
    return dataclasses.replace(parsed, attrs=attrs)


def _shape(operand: Operand) -> tuple[int, ...]:
    if isinstance(operand, QuantizedConstant):
        return operand.q.shape
    return operand.value.shape if isinstance(operand, Constant) else ()


def _biased(
    parsed: Parsed, node: Node, index: int, shape: tuple[int, ...], columns: int
) -> Parsed | None:
    if any(n != 1 for n in shape[:-1]) or shape[-1:] not in ((), (1,), (columns,)):
        return None
    if parsed.attrs.get("absorbed"):  # behind another Add or a Mul it is an operand of its own
        return None
    if any(tensor.grid.scales for tensor in parsed.inputs):  # accumulators of many steps
        return None
    step = product_step(parsed)
    bias = bias_steps(node, index, step, columns)
    attrs = {**parsed.attrs, "absorbed": True}
    if "weights" in attrs:
        attrs["weights"] = dataclasses.replace(attrs["weights"], bias=bias, bias_real=bias * step)
    else:
        attrs |= {"bias": bias, "bias_real": bias * step}
    return dataclasses.replace(parsed, attrs=attrs)
