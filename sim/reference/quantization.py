"""QuantizeLinear and DequantizeLinear: where reals become integers and back."""

from collections.abc import Sequence

import numpy as np

from jacquard.proto.lib.errors import UserError
from jacquard.proto.lib.fixed_point import (
    MAX_MULTIPLIER,
    OFFSET_STEP,
    Int64Array,
    quantize_bound,
    quantize_multipliers,
    quantize_offset,
    requantization_scale,
    requantize_sum,
)
from jacquard.sim.reference.node import Node
from jacquard.sim.reference.nonlinear.softmax import weighted_rows
from jacquard.sim.reference.pending import Pending, Target
from jacquard.sim.reference.value import AnyArray, Operand, Term, Value

QUANTIZED_DTYPES = (np.uint8, np.int8, np.uint16, np.int16, np.int32)


def per_axis(node: Node, array: AnyArray, rank: int) -> AnyArray:
    """A scale or zero point: 0-d where it is the same everywhere, else broadcastable."""
    if (array == array.reshape(-1)[:1]).all():
        return array.reshape(-1)[:1].reshape(())
    axis = int(node.get("axis", 1)) % rank
    return array.reshape(tuple(-1 if i == axis else 1 for i in range(rank)))


def _parameters(
    node: Node, inputs: list[Operand | None], rank: int, dtype: np.dtype[np.generic]
) -> tuple[AnyArray, AnyArray]:
    """(scale float32, zero point) of a node; refuses what is not finite and positive."""
    scale = inputs[1]
    zero_point = inputs[2] if len(inputs) > 2 else None
    if not isinstance(scale, np.ndarray) or isinstance(zero_point, (Value, Pending)):
        raise UserError(f"{node.place}: scale and zero point must be constants; fold the model")
    if not (np.isfinite(scale) & (scale > 0)).all():
        raise UserError(
            f"{node.place}: scales must be finite and positive, got {scale.reshape(-1)[:4]}; "
            "recalibrate the model"
        )
    if node.get("block_size", 0):
        raise UserError(f"{node.place}: blocked quantization is not supported; requantize")
    zeros = np.zeros((), dtype) if zero_point is None else zero_point
    if zeros.dtype.type not in QUANTIZED_DTYPES:
        raise UserError(
            f"{node.place}: must have 8-, 16- or 32-bit integers, got {zeros.dtype}; requantize"
        )
    return per_axis(node, scale.astype(np.float32), rank), per_axis(node, zeros, rank)


def dequantize(node: Node, inputs: list[Operand | None]) -> list[Operand]:
    """Integers -> a one-term value."""
    x = inputs[0]
    if isinstance(x, (Value, Pending)) or x is None or x.dtype.type not in QUANTIZED_DTYPES:
        raise UserError(f"{node.place}: its input must be integers; correct the model")
    scale, zero_point = _parameters(node, inputs, x.ndim, x.dtype)
    q = x.astype(np.int64) - zero_point.astype(np.int64)
    step = scale.astype(np.float64)
    if zero_point.ndim:
        return [Value((Term(q, step),))]
    limits = np.iinfo(x.dtype)
    middle = (int(limits.min) + int(limits.max) + 1) // 2
    zero = int(zero_point) - middle
    return [Value((Term(q, step, bits=limits.bits, zero=zero),))]


def quantize(node: Node, inputs: list[Operand | None]) -> list[Operand]:
    """A value or a float tensor -> integers of the zero point's dtype."""
    x = inputs[0]
    assert x is not None
    scale, zero_point = _parameters(node, inputs, len(x.shape), np.dtype(np.uint8))
    limits = np.iinfo(zero_point.dtype)
    if isinstance(x, (Value, Pending)):
        summed = isinstance(x, Value) and not x.terms[0].weighted and np.isinf([x.lo, x.hi]).all()
        if zero_point.ndim or (scale.ndim and not summed):
            raise UserError(
                f"{node.place}: activations must have one zero point, and one scale where they are "
                f"not moved or summed without a clamp, got shapes {zero_point.shape} and "
                f"{scale.shape}; quantize them per tensor"
            )
        steps = scale.astype(np.float64)
        target = Target(node.place, steps, int(zero_point), limits.min, limits.max)
        if isinstance(x, Pending):
            y = x.integers(target)
        elif x.terms[0].weighted:
            assert len(x.terms) == 1 and x.offset is None
            y = weighted_rows(x.terms[0], target, *_bounds(target, x))
        else:
            y = rounded(target, [x])[0]
        return [np.asarray(y, zero_point.dtype)]  # a number too is an array
    # As ONNX and onnxruntime do it: a float32 division, half to even.
    steps = np.rint(x.astype(np.float32) / scale).astype(np.float64) + zero_point
    if np.isnan(steps).any():
        raise UserError(f"{node.place}: input must be numbers, got NaN; correct the input")
    return [np.asarray(np.clip(steps, limits.min, limits.max), zero_point.dtype)]


def quantize_weights(node: Node, inputs: list[Operand | None]) -> list[Operand] | None:
    """A softmax as weights of its rows (rule 10); None unless it is to be uint8 of zero point 0."""
    x = inputs[0]
    if not isinstance(x, Pending) or x.weights is None:
        return None
    _, zero_point = _parameters(node, inputs, len(x.shape), np.dtype(np.uint8))
    if zero_point.dtype != np.uint8 or zero_point.any():
        return None
    return [x.weights().astype(np.uint8)]


def _bounds(target: Target, x: Value) -> tuple[int, int]:
    """The clamp of a value as integers of the target."""
    lo, hi = (
        quantize_bound(b, target.scale, target.zero, target.lo, target.hi) for b in (x.lo, x.hi)
    )
    return lo, hi


def rounded(target: Target, values: Sequence[Value]) -> list[Int64Array]:
    """Values on one output grid: all terms and offsets of all of them under joint multipliers."""
    factors: list[AnyArray] = []
    operands: list[list[AnyArray]] = []
    for x in values:
        factors += [requantization_scale([t.scale], target.steps, t.divisor) for t in x.terms]
        operands.append([term.q for term in x.terms])
        if x.offset is not None:
            operands[-1].append(quantize_offset(x.offset, target.steps))
            factors.append(np.asarray(OFFSET_STEP))
    try:
        mult, shift = quantize_multipliers(np.concatenate([f.reshape(-1) for f in factors]))
    except UserError as error:
        raise UserError(f"{target.place}: {line}" for line in error.lines) from error
    results = []
    start, remaining = 0, iter(factors)
    for x, parts in zip(values, operands, strict=True):
        pairs = []
        for q in parts:
            factor = next(remaining)
            pairs.append((q, mult[start : start + factor.size].reshape(factor.shape)))
            start += factor.size
        bound = sum(int(np.abs(q).max(initial=0)) for q in parts) * MAX_MULTIPLIER
        if bound >= 2**63:
            raise UserError(
                f"{target.place}: operands must fit 32 bits together, got a bound of {bound}; "
                "quantize the operands first"
            )
        lo, hi = _bounds(target, x)
        results.append(requantize_sum(pairs, shift, target.zero, lo, hi))
    return results
