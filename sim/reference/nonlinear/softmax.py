"""Softmax over the last axis in integers: docs/nonlinear.md, "Softmax"."""

import numpy as np
import numpy.typing as npt

from jacquard.proto.lib.errors import UserError
from jacquard.proto.lib.fixed_point import (
    Float64Array,
    Int64Array,
    quantize_multipliers,
    requantization_scale,
    rounding_shift,
)
from jacquard.proto.lib.masks import LEAST_MASK
from jacquard.sim.reference.node import Node
from jacquard.sim.reference.nonlinear.rows import exponent, held, norm, product
from jacquard.sim.reference.nonlinear.table import T_MAX, T_MIN, interpolated
from jacquard.sim.reference.pending import WEIGHT, Pending, Target
from jacquard.sim.reference.value import Operand, Term, Value, single

LONGEST_ROW = 32768
STEPS = 4096  # of the exponent's argument, per unit
TOP = 65535  # the largest e; e - 32768 is what an int16 holds
MIDDLE = 32768

EXP = interpolated(
    lambda t: TOP * np.exp((t - T_MAX) / STEPS) - MIDDLE, T_MIN, T_MAX, fraction_bits=0
)
WEIGHTS = interpolated(lambda t: WEIGHT * np.exp((t - T_MAX) / STEPS), 0, WEIGHT, fraction_bits=7)
RECIPROCAL = interpolated(
    lambda t: 32767.0 * 16384.0 / np.maximum(t + 32768.0, 16384.0), 0, T_MAX, fraction_bits=0
)


def _operands(
    node: Node, operand: Operand | None
) -> tuple[Term, npt.NDArray[np.bool_] | None, Float64Array | None]:
    """(logits, masked, what the mask adds): an additive float constant becomes a mask."""
    assert operand is not None
    if not isinstance(operand, Value) or operand.offset is None or len(operand.terms) != 1:
        return single(operand, node.place), None, None
    offset = np.broadcast_to(operand.offset, operand.shape)
    bad = (offset != 0) & ~(offset <= LEAST_MASK)
    if bad.any():
        raise UserError(
            f"{node.place}: an additive mask must be 0 or at most {LEAST_MASK:g}, got "
            f"{offset[bad].flat[0]:g}; quantize the sum before it instead"
        )
    return operand.terms[0], offset != 0, offset


def softmax(node: Node, inputs: list[Operand | None]) -> list[Operand]:
    """[..., N] along `axis` (the last from opset 13 on): probabilities, by the next scale."""
    term, masked, offset = _operands(node, inputs[0])
    rank = term.q.ndim
    axis = int(node.get("axis", -1 if node.opset >= 13 else 1)) % rank
    if node.opset < 13 and axis != rank - 1:
        raise UserError(
            f"{node.place}: must run over the last axis before opset 13, got axis {axis} of "
            f"{rank}; convert the model"
        )
    if axis != rank - 1:
        q = np.moveaxis(term.q, axis, -1)
        masked = None if masked is None else np.moveaxis(masked, axis, -1)
    else:
        q = term.q
    if term.scale.ndim or term.divisor.ndim or float(term.divisor) != 1.0:
        raise UserError(
            f"{node.place}: logits must have one scale, got shape {term.scale.shape}; "
            "quantize the operand per tensor"
        )
    if not 1 <= q.shape[-1] <= LONGEST_ROW:
        raise UserError(
            f"{node.place}: rows must have 1 to {LONGEST_ROW} elements, got {q.shape[-1]}; "
            "split the operator"
        )
    scale = float(term.scale)
    # A row without anything left is the row of equal elements, as adding one huge number makes it.
    if masked is not None:
        whole = masked.all(axis=-1, keepdims=True)
        masked = masked & ~whole
        q = np.where(whole, 0, q)

    def integers(target: Target) -> Int64Array:
        y = softmax_rows(q, masked, scale, target)
        return y if axis == rank - 1 else np.moveaxis(y, -1, axis)

    def exact() -> Float64Array:
        x = q * scale
        if masked is not None:
            x = np.where(masked, -np.inf, x)
        e = np.exp(x - x.max(axis=-1, keepdims=True))
        y: Float64Array = e / e.sum(axis=-1, keepdims=True)
        return y if axis == rank - 1 else np.moveaxis(y, -1, axis)

    nan = None
    if offset is not None:
        nan = np.broadcast_to(np.isneginf(offset).all(axis=axis, keepdims=True), term.q.shape)
    weights = (lambda: row_weights(q, masked, scale)) if axis == rank - 1 else None
    return [Pending(term.q.shape, integers, exact, nan, weights)]


def _arguments(
    x: Int64Array, masked: npt.NDArray[np.bool_] | None, scale: float
) -> Int64Array:
    """t: int64 [..., N], the exponents less the row's largest, the least there is where masked.

    Args:
      x: int64 [..., N], zero point out, the values of an int32.
      masked: bool, same shape; no row is masked whole.
      scale: of x.
    """
    visible = x if masked is None else np.where(masked, -(2**31), x)
    largest = visible.max(axis=-1, keepdims=True)
    m, sh = quantize_multipliers([scale * STEPS])
    t = T_MAX + rounding_shift(product(x - largest, int(m[0]), "softmax exponent"), sh)
    return t if masked is None else np.where(masked, T_MIN, t)


def _reciprocal(total: Int64Array, factor: npt.ArrayLike) -> tuple[Int64Array, int]:
    """(F, sh): `rshift(z * F, sh)` is z * factor / 2 * 32767 / total.

    Args:
      total: above 0, an int32.
      factor: 0-d, or broadcastable against `total`: factors share their shift.
    """
    high = exponent(total)
    mu = rounding_shift(norm(total), 14) - 32768
    r = np.clip(RECIPROCAL.look_up(mu), T_MIN, T_MAX)
    mult, sh = quantize_multipliers(factor)
    c = mult.astype(np.int64).reshape(np.shape(factor))
    r = held(r << (30 - high), "softmax reciprocal")
    return held(rounding_shift(product(r, c, "softmax factor"), 31), "softmax factor"), sh


def softmax_rows(
    x: Int64Array, masked: npt.NDArray[np.bool_] | None, scale: float, target: Target
) -> Int64Array:
    """The sequence itself; x, masked, scale as in `_arguments`.

    Returns:
      int64 [..., N] inside [target.lo, target.hi].
    """
    t = _arguments(x, masked, scale)
    e = np.clip(EXP.look_up(t), T_MIN, T_MAX) + MIDDLE
    total = held(e.sum(axis=-1, keepdims=True), "softmax sum")
    factor, sh = _reciprocal(total, 2.0 / (32767.0 * target.scale))
    y = rounding_shift(product(e, factor, "softmax result"), sh) + target.zero
    return np.minimum(np.maximum(y, target.lo), target.hi)


def row_weights(
    x: Int64Array, masked: npt.NDArray[np.bool_] | None, scale: float
) -> Int64Array:
    """Exponentials alone, 0 .. 255; x, masked, scale as in `_arguments`."""
    w = np.clip(WEIGHTS.look_up(_arguments(x, masked, scale)), 0, WEIGHT)
    return w if masked is None else np.where(masked, 0, w)


def weighted_rows(term: Term, target: Target, lo: int, hi: int) -> Int64Array:
    """Sums under row weights on an output grid.

    Args:
      term: q int64 [..., C] of one scale for each matrix; divisor [..., 1] is the weights' sum.
    """
    total = held(term.divisor.astype(np.int64) * 256, "sum of weights")
    g = requantization_scale([term.scale], np.asarray(target.scale))
    factor, sh = _reciprocal(total, 512.0 * g / 32767.0)
    y = rounding_shift(product(term.q, factor, "weighted sum"), sh) + target.zero
    return np.minimum(np.maximum(y, lo), hi)
