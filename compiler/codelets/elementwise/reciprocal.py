"""Reciprocal, by table; that of 0 is the greatest number that the result has."""

from __future__ import annotations

import numpy as np

from jacquard.compiler.codelets.base import Array
from jacquard.compiler.codelets.elementwise._pole import (
    HIGHEST,
    MANTISSA,
    MOST,
    NONE,
    UNIT,
    exponent_pass,
    mantissa_pass,
    otherwise,
)
from jacquard.compiler.codelets.elementwise._scaling import factors_to_multipliers, output_fields
from jacquard.compiler.codelets.elementwise._table import X, Passes, grid_cases, unary_codelet
from jacquard.compiler.graph.ir import Grid, Op
from jacquard.compiler.tile.pointwise import OUT, Pass
from jacquard.compiler.tile.table import interpolated
from jacquard.proto import npu_isa as isa

SIZE, UP, MOVED, SIGN = "size", "up", "moved", "sign"
TYPES = {SIZE: isa.Dtype.S32, MANTISSA: isa.Dtype.S16, UP: isa.Dtype.S8, MOVED: isa.Dtype.S32,
         SIGN: isa.Dtype.S8, NONE: isa.Dtype.S8}


def _inverse(t: Array) -> Array:
    return np.asarray(HIGHEST / np.maximum((t + 2.0**15) / UNIT, 1.0))


def wide(op: Op, x: Grid, y: Grid) -> Passes:
    """1 / mu << 14 - exponent of |x|, with the sign of x, scaled."""
    factor = 1.0 / (float(HIGHEST) * 2.0**MOST * x.scale * y.scale)
    (mult,), shift = factors_to_multipliers(op, [factor])
    magnitude = {"op": int(isa.VectorOp.LEAKY), "imm1": -x.zero_point, "mult1": 1, "mult2": -1,
                 "scale": int(isa.ScaleMode.IMM)}
    sign = {"op": int(isa.VectorOp.MOVE), "imm1": -x.zero_point, "clamp": 1, "lo": -1, "hi": 1}
    result = {**output_fields(op, y, shift), "op": int(isa.VectorOp.MUL), "mult1": mult}
    return Passes(
        interpolated(_inverse, 0.0, float(HIGHEST), 0).table, TYPES,
        (Pass(magnitude, SIZE, X), mantissa_pass(SIZE, 0),
         exponent_pass(UP, SIZE, 0, -1, zero=MOST),
         Pass({"op": int(isa.VectorOp.SHL)}, MOVED, MANTISSA, UP), Pass(sign, SIGN, X),
         Pass(result, OUT, MOVED, SIGN), *otherwise(op, x, y, isa.VectorOp.EQ, highest=True)),
    )


def function(x: Array) -> Array:
    return np.asarray(1.0 / x)


CASES = grid_cases(wide=2.5, spread=3.0)
CODELET = unary_codelet("Reciprocal", lambda attrs: function, CASES, wide=wide)
