"""Add, Sub, Mul, BatchNormalization and the activations, on exact values."""

from dataclasses import replace

import numpy as np

from jacquard.proto.lib.errors import UserError
from jacquard.proto.lib.fixed_point import batch_norm_affine
from jacquard.sim.reference.node import Node
from jacquard.sim.reference.nonlinear.quotient import quotient
from jacquard.sim.reference.pending import Pending
from jacquard.sim.reference.value import (
    AnyArray,
    Operand,
    Term,
    Value,
    real_constant,
    single,
)


def _unclamped(value: Value, place: str) -> Value:
    if np.isinf(value.lo) and np.isinf(value.hi):
        return value
    return Value((single(value, place),))


def _offset(value: Value, constant: AnyArray) -> Value:
    total = np.asarray(constant, np.float64)
    if value.offset is not None:
        total = total + value.offset
    shape = np.broadcast_shapes(value.shape, total.shape)
    if shape == value.shape:
        return replace(value, offset=total)
    return replace(
        value,
        terms=tuple(replace(t, q=np.broadcast_to(t.q, shape)) for t in value.terms),
        offset=total,
    )


def _negated(operand: Operand) -> Operand:
    if isinstance(operand, np.ndarray):
        return np.asarray(-operand)  # of no dimensions NumPy makes a scalar
    assert isinstance(operand, Value)
    terms = tuple(replace(term, q=-term.q) for term in operand.terms)
    return Value(terms, None if operand.offset is None else -operand.offset)


def add(node: Node, inputs: list[Operand | None]) -> list[Operand]:
    """The operands keep their own scales; a float constant is an offset."""
    a, b = (_unclamped(x, node.place) if isinstance(x, Value) else x for x in inputs)
    assert isinstance(a, (Value, np.ndarray)) and isinstance(b, (Value, np.ndarray))
    if isinstance(a, Value) and isinstance(b, Value):
        offset = None
        if a.offset is not None or b.offset is not None:
            offset = np.asarray(0.0 if a.offset is None else a.offset)
            offset = offset + (0.0 if b.offset is None else b.offset)
        return [Value(a.terms + b.terms, offset)]
    if isinstance(a, Value):
        return [_offset(a, np.asarray(b))]
    if isinstance(b, Value):
        return [_offset(b, np.asarray(a))]
    return [np.asarray(a + b)]


def sub(node: Node, inputs: list[Operand | None]) -> list[Operand]:
    """`a - b` is `a + (-b)`."""
    a, b = inputs
    assert b is not None
    if isinstance(b, Value):
        b = _unclamped(b, node.place)
    return add(node, [a, _negated(b)])


def mul(node: Node, inputs: list[Operand | None]) -> list[Operand]:
    """(a - za)(b - zb) with scale sa * sb; a float constant c has |c| as scale and its sign."""
    a, b = inputs
    assert isinstance(a, (Value, np.ndarray)) and isinstance(b, (Value, np.ndarray))
    if isinstance(a, Value) and isinstance(b, Value):
        x, y = single(a, node.place), single(b, node.place)
        scale, divisor = np.asarray(x.scale * y.scale), np.asarray(x.divisor * y.divisor)
        return [Value((Term(x.q * y.q, scale, divisor),))]
    if isinstance(a, Value):
        return [_scaled(_unclamped(a, node.place), np.asarray(b, np.float64))]
    if isinstance(b, Value):
        return [_scaled(_unclamped(b, node.place), np.asarray(a, np.float64))]
    return [np.asarray(a * b)]


def div(node: Node, inputs: list[Operand | None]) -> list[Operand]:
    """By a constant: its reciprocal in float64 is a gain. Integer arrays divide as ONNX does."""
    a, b = inputs
    assert a is not None and b is not None
    if isinstance(b, (Value, Pending)):
        return [quotient(node, single(a, node.place), single(b, node.place))]
    if isinstance(a, Value):
        divisor = np.asarray(b, np.float64)
        if (divisor == 0).any():
            raise UserError(f"{node.place}: must not divide by zero; correct the model")
        return [_scaled(_unclamped(a, node.place), 1.0 / divisor)]
    assert isinstance(a, np.ndarray)
    return [np.asarray(a / b if a.dtype.kind == "f" else a // b)]


def _scaled(value: Value, gain: AnyArray) -> Value:
    """`value * gain` for a real gain that broadcasts against the value."""
    shape = np.broadcast_shapes(value.shape, gain.shape)
    terms = []
    for term in value.terms:
        sign = np.sign(gain).astype(np.int64)
        scale = np.asarray(term.scale * np.abs(gain), np.float64)
        q = np.broadcast_to(term.q * sign, shape)
        terms.append(Term(q, scale, term.divisor, weighted=term.weighted))
    offset = None if value.offset is None else np.asarray(value.offset * gain)
    return Value(tuple(terms), offset)


def batch_normalization(node: Node, inputs: list[Operand | None]) -> list[Operand]:
    """x [N, C, ...], gamma, beta, mean, variance [C]: a gain per channel and an offset."""
    x, *parameters = inputs
    assert x is not None
    if node.get("training_mode", 0):
        raise UserError(
            f"{node.place}: must be in inference mode, got training_mode 1; export with eval()"
        )
    value = _unclamped(x, node.place) if isinstance(x, Value) else Value((single(x, node.place),))
    gamma, beta, mean, variance = (
        real_constant(parameter) for parameter in parameters if parameter is not None
    )
    epsilon = float(node.get("epsilon", 1e-5))
    gain, offset = batch_norm_affine(gamma, beta, mean, variance, epsilon)
    shape = (1, -1) + (1,) * (len(value.shape) - 2)
    return [_offset(_scaled(value, gain.reshape(shape)), offset.reshape(shape))]


def _clamped(operand: Operand, lo: float, hi: float) -> Operand:
    if isinstance(operand, Pending):
        return operand.clamped(lo, hi)
    if not isinstance(operand, Value):
        if operand.dtype.kind in "iu":  # ids
            limits = np.iinfo(operand.dtype)
            whole = (int(min(max(bound, limits.min), limits.max)) for bound in (lo, hi))
            return np.asarray(np.clip(operand, *whole), operand.dtype)
        return np.asarray(np.clip(operand, np.float32(lo), np.float32(hi)))
    new_lo = min(max(operand.lo, lo), hi)
    new_hi = min(max(operand.hi, lo), hi)
    return replace(operand, lo=new_lo, hi=new_hi)


def relu(node: Node, inputs: list[Operand | None]) -> list[Operand]:
    """A clamp from 0, kept until the next QuantizeLinear."""
    assert inputs[0] is not None
    return [_clamped(inputs[0], 0.0, np.inf)]


def clip(node: Node, inputs: list[Operand | None]) -> list[Operand]:
    """A clamp, kept until the next QuantizeLinear; bounds are inputs or (opset 6) attributes."""
    bounds = []
    for index, (name, default) in enumerate((("min", -np.inf), ("max", np.inf)), start=1):
        given = inputs[index] if index < len(inputs) else None
        bound = node.get(name, default) if given is None else real_constant(given).item()
        bounds.append(float(bound))
    assert inputs[0] is not None
    return [_clamped(inputs[0], *bounds)]


def leaky_relu(node: Node, inputs: list[Operand | None]) -> list[Operand]:
    """Two terms, one of which is zero in each element: positives, and negatives with alpha."""
    assert inputs[0] is not None
    term = single(inputs[0], node.place)
    alpha = float(np.float32(node.get("alpha", 0.01)))
    sign = -1 if alpha < 0 else 1
    negative = replace(
        term, q=np.minimum(term.q, 0) * sign, scale=np.asarray(term.scale * abs(alpha))
    )
    return [Value((replace(term, q=np.maximum(term.q, 0)), negative))]
