"""Unary functions by table, Pow by constants, Neg and Abs: docs/nonlinear.md, "Unary functions"."""

from dataclasses import replace

import numpy as np

from jacquard.proto.lib.errors import UserError
from jacquard.proto.lib.fixed_point import (
    Float64Array,
    Int64Array,
    quantize_multipliers,
    rounding_shift,
)
from jacquard.sim.reference.node import Node
from jacquard.sim.reference.nonlinear.functions import FUNCTIONS, Function, power
from jacquard.sim.reference.nonlinear.reduced import logarithm, reciprocal, square_root
from jacquard.sim.reference.nonlinear.rows import product
from jacquard.sim.reference.nonlinear.table import interpolated, stepped
from jacquard.sim.reference.pending import Pending, Target
from jacquard.sim.reference.value import (
    Operand,
    Term,
    Value,
    real_constant,
    single,
)

WIDE_OUTPUT = 256  # values: more are 16 bits
REDUCED = {"Log": logarithm, "Reciprocal": reciprocal, "Sqrt": square_root}


def unary(node: Node, inputs: list[Operand | None]) -> list[Operand]:
    """One of FUNCTIONS on an 8- or 16-bit tensor."""
    function = FUNCTIONS[node.op](node)
    assert inputs[0] is not None
    if isinstance(inputs[0], np.ndarray):
        with np.errstate(all="ignore"):
            x = np.asarray(real_constant(inputs[0]), np.float64)
            return [np.asarray(function.of(x), np.float32)]
    return [_of_tensor(node, inputs[0], node.op, function)]


def _of_tensor(node: Node, operand: Operand, function_name: str, function: Function) -> Operand:
    term = single(operand, node.place)
    if term.bits not in (8, 16) or term.scale.ndim:
        raise UserError(
            f"{node.place}: must read an 8- or 16-bit tensor of one scale, got "
            f"{term.bits or 'no'} bits and scales of shape {term.scale.shape}; quantize its "
            "operand to 16 bits"
        )
    scale = float(term.scale)

    def exact() -> Float64Array:
        with np.errstate(all="ignore"):
            return function.of(np.asarray(term.q * scale, np.float64))

    def integers(target: Target) -> Int64Array:
        if term.bits == 8:
            values = eight_bits(term, scale, function, target)
        elif function_name in REDUCED:
            values = REDUCED[function_name](term.q, scale, target)
        else:
            values = sixteen_bits(term, scale, function, target)
        return np.minimum(np.maximum(values, target.lo), target.hi)

    return Pending(term.q.shape, integers, exact)


def _on_grid(function: Function, x: Float64Array, target: Target) -> Float64Array:
    """function(x) in output steps, clipped to the output's type (NaN: its lowest value)."""
    with np.errstate(all="ignore"):
        y = function.of(x) / target.scale + target.zero
    return np.clip(np.where(np.isnan(y), target.lo, y), target.lo, target.hi)


def _check_width(target: Target) -> None:
    if target.hi > 2**15 - 1:
        raise UserError(
            f"{target.place}: behind a unary function must have an 8-bit type or int16, got values "
            f"up to {target.hi}; requantize to int16"
        )


def eight_bits(term: Term, scale: float, function: Function, target: Target) -> Int64Array:
    """An entry per value of the input: exact."""
    _check_width(target)
    stored = np.arange(-128, 128, dtype=np.float64)  # less 128 for unsigned types
    grid = _on_grid(function, scale * (stored - term.zero), target)
    return stepped(grid).look_up((term.q + term.zero) * 256)


def sixteen_bits(term: Term, scale: float, function: Function, target: Target) -> Int64Array:
    """Interpolated: over the input's own grid, or over the function's reach where that is less."""
    _check_width(target)
    bits = 7 if target.hi - target.lo < WIDE_OUTPUT else 0
    if scale * 2**15 > function.reach:
        m, sh = quantize_multipliers([scale * 2**15 / function.reach])
        t = rounding_shift(product(term.q, int(m[0]), "table argument"), sh)
        step, zero = function.reach / 2**15, 0
    else:
        t, step, zero = term.q + term.zero, scale, term.zero
    table = interpolated(
        lambda at: _on_grid(function, step * (at - zero), target), target.lo, target.hi, bits
    )
    return table.look_up(t)


def pow_(node: Node, inputs: list[Operand | None]) -> list[Operand]:
    """x ** c for one constant c: a movement for 1, a product for 2, else a table."""
    x, given = inputs[0], inputs[1]
    assert x is not None and given is not None
    exponents = real_constant(given).astype(np.float64)
    if not isinstance(x, (Value, Pending)):
        return [np.power(x, exponents).astype(x.dtype)]
    if isinstance(given, Value) or exponents.size != 1:
        raise UserError(
            f"{node.place}: the exponent must be one constant number, got shape "
            f"{exponents.shape}; fold the model"
        )
    exponent = float(exponents.reshape(()))
    if exponent == 1.0:
        return [x]
    if exponent == 2.0:
        term = single(x, node.place)
        return [Value((Term(term.q * term.q, np.asarray(term.scale**2),
                            np.asarray(term.divisor**2)),))]
    same = {0.5: "Sqrt", -1.0: "Reciprocal"}.get(exponent, "Pow")
    return [_of_tensor(node, x, same, power(exponent))]


def neg(node: Node, inputs: list[Operand | None]) -> list[Operand]:
    """The integers' sign turns; exact. A clamp in front is applied on the operand's own grid."""
    x = inputs[0]
    assert x is not None and not isinstance(x, Pending)
    if not isinstance(x, Value):
        return [-x]
    if not (np.isinf(x.lo) and np.isinf(x.hi)):
        x = Value((single(x, node.place),))
    terms = tuple(replace(term, q=-term.q, bits=0) for term in x.terms)
    return [Value(terms, None if x.offset is None else np.asarray(-x.offset))]


def abs_(node: Node, inputs: list[Operand | None]) -> list[Operand]:
    """Exact."""
    x = inputs[0]
    assert x is not None
    if not isinstance(x, (Value, Pending)):
        return [np.abs(x)]
    term = single(x, node.place)
    return [Value((replace(term, q=np.abs(term.q), bits=0),))]


