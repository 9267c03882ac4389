"""Conv, Gemm and MatMul: exact integer accumulators with scale sx * sw.

Products of centred 8-bit integers are summed in float64 BLAS, which is exact below 2**53.
"""

import numpy as np

from jacquard.proto.lib.errors import UserError
from jacquard.proto.lib.fixed_point import Float64Array, Int64Array, quantize_constant
from jacquard.sim.reference.node import Node
from jacquard.sim.reference.pending import WEIGHT
from jacquard.sim.reference.value import (
    AnyArray,
    Operand,
    Term,
    Value,
    move,
    real_constant,
    single,
    uniform_over,
)
from jacquard.sim.reference.windows import Window, window_of

EXACT_FLOAT64 = 2**53
INT32_LIMIT = 2**31
ACCUMULATOR = 64  # bits of a Term that holds the sums of a MatMul
# A bias whose scale equals sx * sw but for float32 rounding is already on the accumulator's grid.
SAME_SCALE = 2.0**-20


def _largest(x: AnyArray) -> int:
    return int(np.abs(x).max(initial=0))


def _exact_dtype(depth: int, a: Int64Array, b: Int64Array) -> type[np.float64] | type[np.int64]:
    """The type in which sums of `depth` products are exact: float64 (BLAS) where it can be."""
    return np.float64 if depth * _largest(a) * _largest(b) < EXACT_FLOAT64 else np.int64


def _accumulators(place: str, product: AnyArray) -> Int64Array:
    """Refuses sums that an int32 accumulator cannot hold."""
    largest = _largest(product)
    if largest >= INT32_LIMIT:
        raise UserError(
            f"{place}: sums must fit an int32 accumulator, got {largest}; split the reduction "
            "or use narrower weights"
        )
    return product.astype(np.int64)


def _step(place: str, term: Term) -> Float64Array:
    if not (term.divisor == 1).all():
        raise UserError(
            f"{place}: its operand must be quantized, got an average that no QuantizeLinear has "
            "read; quantize the pooling before it too"
        )
    return term.scale


def _bias(operand: Operand, step: Float64Array) -> Int64Array:
    """A bias on the accumulator's grid: as it is where its scale is sx * sw, else re-rounded."""
    if isinstance(operand, Value) and len(operand.terms) == 1:
        term = operand.terms[0]
        scale = np.broadcast_to(term.scale, np.broadcast_shapes(term.scale.shape, step.shape))
        if (np.abs(scale - step) <= SAME_SCALE * step).all():
            return term.q
    return quantize_constant(real_constant(operand), step)


def _weight_steps(place: str, term: Term, axis: int) -> Float64Array:
    """The scales along the output axis, float64[n] or 0-d."""
    scale = _step(place, term)
    others = tuple(i for i in range(term.q.ndim) if i != axis % term.q.ndim)
    if not uniform_over(scale, others):
        raise UserError(
            f"{place}: weights must be quantized per tensor or per output channel, got scales of "
            f"shape {scale.shape}; quantize along axis {axis}"
        )
    return scale if scale.ndim == 0 else scale.reshape(-1)


def conv(node: Node, inputs: list[Operand | None]) -> list[Operand]:
    """X [N, C, spatial...], W [M, C/group, kernel...], B [M] -> [N, M, spatial...]."""
    x, w = single(_given(node, inputs, 0), node.place), single(_given(node, inputs, 1), node.place)
    x_scale, groups = _step(node.place, x), int(node.get("group", 1))
    if x_scale.ndim != 0:
        raise UserError(
            f"{node.place}: activations must have one scale, got shape {x_scale.shape}; "
            "quantize them per tensor"
        )
    window: Window = window_of(node, x.q.shape, w.q.shape[2:])
    batch, channels = x.q.shape[:2]
    filters, depth = w.q.shape[:2]
    if channels != depth * groups or filters % groups:
        raise UserError(
            f"{node.place}: channels must be group x weight channels, got {channels} channels, "
            f"{groups} groups, weights {w.q.shape}; correct the model"
        )
    dtype = _exact_dtype(depth * window.taps, x.q, w.q)
    columns = window.columns(x.q.astype(dtype), fill=0)  # [N, C, taps, positions]
    columns = columns.reshape(batch, groups, depth * window.taps, window.positions)
    weights = w.q.reshape(groups, filters // groups, depth * window.taps).astype(dtype)
    acc = _accumulators(node.place, weights @ columns).reshape(batch, filters, window.positions)
    step = np.asarray(x_scale * _weight_steps(node.place, w, 0))
    if len(inputs) > 2 and inputs[2] is not None:
        acc = acc + np.broadcast_to(_bias(inputs[2], step), (filters,))[:, None]
    shape = (batch, filters, *window.output)
    if step.ndim:
        step = step.reshape(1, filters, *(1 for _ in window.output))
    return [Value((Term(acc.reshape(shape), step),))]


def gemm(node: Node, inputs: list[Operand | None]) -> list[Operand]:
    """alpha * A' @ B' + beta * C with A' [M, K], B' [K, N]."""
    a, b = single(_given(node, inputs, 0), node.place), single(_given(node, inputs, 1), node.place)
    alpha, beta = float(node.get("alpha", 1.0)), float(node.get("beta", 1.0))
    trans_a, trans_b = int(node.get("transA", 0)), int(node.get("transB", 0))
    if alpha <= 0:
        raise UserError(
            f"{node.place}: alpha must be positive, got {alpha}; fold its sign into the weights"
        )
    a_scale = _step(node.place, a)
    if a_scale.ndim != 0:
        raise UserError(
            f"{node.place}: activations must have one scale, got shape {a_scale.shape}; "
            "quantize them per tensor"
        )
    left = a.q.T if trans_a else a.q
    right = b.q.T if trans_b else b.q
    if left.shape[1] != right.shape[0]:
        raise UserError(
            f"{node.place}: inner dimensions must agree, got {left.shape} x {right.shape}; "
            "correct the model"
        )
    step = np.asarray(a_scale * _weight_steps(node.place, b, 0 if trans_b else 1) * alpha)
    dtype = _exact_dtype(left.shape[1], left, right)
    acc = _accumulators(node.place, left.astype(dtype) @ right.astype(dtype))
    if len(inputs) > 2 and inputs[2] is not None and beta != 0.0:
        bias = inputs[2]
        if beta != 1.0:
            bias = real_constant(bias) * np.float32(beta)
        acc = acc + _bias(bias, step)
    return [Value((Term(acc, step.reshape(1, -1) if step.ndim else step),))]


def matmul(node: Node, inputs: list[Operand | None]) -> list[Operand]:
    """A [..., M, K] @ B [..., K, N] as numpy.matmul; zero points on both sides are exact."""
    a, b = single(_given(node, inputs, 0), node.place), single(_given(node, inputs, 1), node.place)
    a_scale, b_scale = _step(node.place, a), _step(node.place, b)
    if a_scale.ndim != 0 or (b_scale.ndim and not uniform_over(b_scale, (b.q.ndim - 2,))):
        raise UserError(
            f"{node.place}: scales must not vary along the inner dimension, got shapes "
            f"{a_scale.shape} and {b_scale.shape}; quantize per tensor or per column"
        )
    inner = b.q.shape[-2] if b.q.ndim > 1 else b.q.shape[0]
    if a.q.shape[-1] != inner:
        raise UserError(
            f"{node.place}: inner dimensions must agree, got {a.q.shape} x {b.q.shape}; "
            "correct the model"
        )
    dtype = _exact_dtype(inner, a.q, b.q)
    acc = _accumulators(node.place, a.q.astype(dtype) @ b.q.astype(dtype))
    step = np.asarray(a_scale * b_scale)
    if step.ndim and a.q.ndim == 1:
        step = step[..., 0, :]
    if step.ndim:  # B may have fewer dimensions than A
        step = step.reshape((1,) * (acc.ndim - step.ndim) + step.shape)
    return [Value((Term(acc, step, bits=ACCUMULATOR),))]


def weighted_product(node: Node, inputs: list[Operand | None]) -> list[Operand]:
    """A MatMul whose left operand's integers are weights of their rows (rule 10)."""
    a, b = single(_given(node, inputs, 0), node.place), single(_given(node, inputs, 1), node.place)
    step = _step(node.place, b)
    if not uniform_over(step, (-2, -1)) or a.q.ndim < 2 or b.q.ndim < 2:
        raise UserError(
            f"{node.place}: a softmax must multiply matrices of one scale each, got {a.q.shape} x "
            f"{b.q.shape} with scales of shape {step.shape}; quantize per tensor or per head"
        )
    (product,) = matmul(node, inputs)
    assert isinstance(product, Value)
    # Below a top's weight: a row that a NaN guard's constant fills, in steps of 1 / 255.
    total = np.maximum(a.q.sum(axis=-1, keepdims=True), WEIGHT).astype(np.float64)
    sums = product.terms[0].q
    if step.ndim:  # B may have fewer dimensions than A
        step = step.reshape((1,) * (sums.ndim - step.ndim) + step.shape)
    return [Value((Term(sums, step, total, weighted=True),))]


def biased_product(
    node: Node, inputs: list[Operand | None], constant: list[bool]
) -> list[Operand] | None:
    """Add of a constant per column directly behind MatMul: Gemm's bias. None for any other Add."""
    for product, bias, fixed in ((0, 1, constant[1]), (1, 0, constant[0])):
        x, c = inputs[product], inputs[bias]
        if not fixed or not isinstance(x, Value) or c is None or len(x.terms) != 1:
            continue
        term = x.terms[0]
        columns = term.q.shape[-1:]
        if term.bits != ACCUMULATOR or int(np.prod(c.shape)) != (c.shape or (1,))[-1]:
            continue
        if len(c.shape) > term.q.ndim or c.shape[-1:] not in ((), (1,), columns):
            continue
        if not uniform_over(term.scale, tuple(range(term.q.ndim - 1))):
            continue
        step = term.scale if term.scale.ndim == 0 else term.scale.reshape(-1)
        flat = move(c, lambda array: array.reshape(-1)) if c.shape else c
        return [Value((Term(term.q + _bias(flat, step), term.scale),))]
    return None


def _given(node: Node, inputs: list[Operand | None], index: int) -> Operand:
    operand = inputs[index] if index < len(inputs) else None
    if operand is None:
        raise UserError(f"{node.place}: input {index} must be given, got none; correct the model")
    return operand
