"""Div: by a float constant a gain, its reciprocal in float64; of two tensors by table.

docs/nonlinear.md, "division of two activations".
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from jacquard.compiler.codelets.base import Array, Case, Codelet, Constant, Node, Parsed
from jacquard.compiler.codelets.elementwise import mul
from jacquard.compiler.codelets.elementwise._broadcast import (
    broadcast,
    operand_tensor,
    result_shape,
)
from jacquard.compiler.codelets.elementwise._pole import HIGHEST, MOST, WIDE_SHIFT, exponent_pass
from jacquard.compiler.codelets.elementwise._scaling import factors_to_multipliers, output_fields
from jacquard.compiler.graph.ir import Grid, Op
from jacquard.compiler.tile.lowering import Lowering, dtype_of
from jacquard.compiler.tile.pointwise import OUT, Pass, emit_passes
from jacquard.compiler.tile.table import interpolated
from jacquard.proto import npu_isa as isa
from jacquard.proto.lib.errors import UserError
from jacquard.proto.lib.fixed_point import MAX_SHIFT

A, B = "a", "b"
SIZE, UP, MOVED, FIRST, ERROR = "size", "up", "moved", "first", "error"
INVERSE, FACTOR, NUMERATOR = "inverse", "factor", "numerator"
TYPES = {name: isa.Dtype.S32 for name in (SIZE, MOVED, ERROR, INVERSE, FACTOR, NUMERATOR)} | {
    UP: isa.Dtype.S8, FIRST: isa.Dtype.S16,
}
_IMM = {"scale": int(isa.ScaleMode.IMM), "mult1": 1}
_FACTOR_BITS = 13  # of the quotient below its multiplier's


def parse(node: Node) -> Parsed:
    dividend, divisor = node.operand(0), node.operand(1)
    shape = result_shape(node, dividend, divisor)
    if isinstance(dividend, Constant):
        raise UserError(
            f"{node.place}: must divide a quantized tensor, got a constant; multiply by the "
            "Reciprocal"
        )
    tensor = operand_tensor(node, dividend)
    if not isinstance(divisor, Constant):
        other = operand_tensor(node, divisor)
        return Parsed((tensor, other), {"step": other.grid.scale}, (shape,))
    value = divisor.value.astype(np.float64)
    if (value == 0).any():
        raise UserError(f"{node.place}: must not divide by zero; correct the model")
    return Parsed((tensor,), {"gain": 1.0 / value}, (shape,))


def lower(op: Op, low: Lowering) -> None:
    if "gain" in op.attrs:
        mul.lower(op, low)
        return
    low.begin_layer(op, macs=0)
    a, b, y = (low.tensor(name) for name in (*op.inputs, op.outputs[0]))
    index = low.table(interpolated(_inverse, -HIGHEST, HIGHEST, 0).table)
    operands, out = broadcast(low, [a, b], y)
    emit_passes(low, op.name, dict(zip((A, B), operands, strict=True)), TYPES,
                _passes(op, a.grid, b.grid, y.grid, index), out, dtype_of(y))


def _inverse(t: Array) -> Array:
    return np.where(t == 0, HIGHEST, HIGHEST * 8192.0 / np.where(t == 0, 1.0, t))


def _passes(op: Op, a: Grid, b: Grid, y: Grid, index: int) -> list[Pass]:
    """1 / b from a table and a Newton step, times a."""
    (mult,), shift = factors_to_multipliers(op, [a.scale / (b.scale * y.scale)])
    if shift + _FACTOR_BITS > MAX_SHIFT:
        raise UserError(
            f"node {op.name} ({op.kind}): the quotient's factor must be at least 2**-18, got "
            f"{a.scale / (b.scale * y.scale)!r}; recalibrate the model, every result would be 0"
        )
    vector = isa.VectorOp
    magnitude = {"op": int(vector.LEAKY), "imm1": -b.zero_point, **_IMM, "mult2": -1}
    shifted = {"op": int(vector.SHL), "imm1": -b.zero_point}
    look_up = {"op": int(vector.MOVE), **_IMM, "shift": 1, "table": 1, "table_index": index,
               "table_shift": WIDE_SHIFT}
    error = {"op": int(vector.MUL), **_IMM, "mult1": -1}
    newton = {"op": int(vector.MUL), "imm2": 2**30, **_IMM, "shift": 14}
    factor = {"op": int(vector.MOVE), **_IMM, "mult1": mult, "shift": 31}
    numerator = {"op": int(vector.SHL), "imm1": -a.zero_point}
    result = {**output_fields(op, y, shift + _FACTOR_BITS), "op": int(vector.MUL), "mult1": 1}
    return [
        Pass(magnitude, SIZE, B), exponent_pass(UP, SIZE, 0, -1, zero=MOST),
        Pass(shifted, MOVED, B, UP), Pass(look_up, FIRST, MOVED), Pass(error, ERROR, FIRST, MOVED),
        Pass(newton, INVERSE, FIRST, ERROR), Pass(factor, FACTOR, INVERSE),
        Pass(numerator, NUMERATOR, A, UP), Pass(result, OUT, NUMERATOR, FACTOR),
    ]


def reference(op: Op, inputs: Sequence[Array]) -> Sequence[Array]:
    """Real quotients, broadcast; a divisor of 0 is half a step of its grid."""
    if "gain" in op.attrs:
        return [inputs[0] * op.attrs["gain"]]
    return [inputs[0] / np.where(inputs[1] == 0, op.attrs["step"] / 2, inputs[1])]


def cases() -> Sequence[Case]:
    random = np.random.default_rng(7)
    shape = (1, 20, 5, 6)
    return [
        Case("scalar", {"x": shape}, constants={"d": np.array(8.0, np.float32)}),
        Case("channels", {"x": (5, 18)},
             constants={"d": random.uniform(-3, -0.5, 18).astype(np.float32)}),
        Case("wide", {"x": (2, 5, 18)}, constants={"d": np.array(-0.7, np.float32)},
             input_dtype="int16", output_dtype="int16"),
        Case("tensors", {"a": shape, "b": shape}, unsigned=True, tolerance=0.6),
        Case("wide_tensors", {"a": (5, 18), "b": (5, 18)}, input_dtype="int16",
             output_dtype="int16", tolerance=0.6),
        Case("rows", {"a": (9, 40), "b": (9, 1)}, input_dtype="int16", relu=True, tolerance=0.6),
    ]


CODELET = Codelet("Div", parse, lower, reference, cases)
