"""Sqrt, by table; negative operands give 0."""

from __future__ import annotations

import math

import numpy as np

from jacquard.compiler.codelets.base import Case
from jacquard.compiler.codelets.elementwise._pole import (
    MANTISSA,
    UNIT,
    exponent_pass,
    mantissa_pass,
    mantissa_table,
)
from jacquard.compiler.codelets.elementwise._scaling import factors_to_multipliers, output_fields
from jacquard.compiler.codelets.elementwise._table import X, Passes, grid_cases, unary_codelet
from jacquard.compiler.graph.ir import Grid, Op
from jacquard.compiler.tile.pointwise import OUT, Pass
from jacquard.proto import npu_isa as isa

HALF = "half"


def wide(op: Op, x: Grid, y: Grid) -> Passes:
    """sqrt(mu) << exponent / 2, scaled."""
    (mult,), shift = factors_to_multipliers(op, [math.sqrt(x.scale) / (float(UNIT) * y.scale)])
    result = {**output_fields(op, y, shift), "op": int(isa.VectorOp.SHL), "mult1": mult}
    return Passes(
        mantissa_table(np.sqrt),
        {MANTISSA: isa.Dtype.S16, HALF: isa.Dtype.S8},
        (mantissa_pass(X, -x.zero_point), exponent_pass(HALF, X, -x.zero_point, 1, shift=1),
         Pass(result, OUT, MANTISSA, HALF)),
    )


CASES = [
    *grid_cases(wide=2.5, positive=True),
    # Half of the operands have no root: what they give is docs/nonlinear.md's choice.
    Case("signed", {"x": (7, 37)}, input_dtype="int16", tolerance=math.inf),
    Case("signed_wide", {"x": (7, 37)}, input_dtype="int16", output_dtype="uint16",
         tolerance=math.inf),
]
CODELET = unary_codelet("Sqrt", lambda attrs: np.sqrt, CASES, wide=wide)
