"""Log, by table; operands not above 0 give the least number that the result has."""

from __future__ import annotations

import math

import numpy as np

from jacquard.compiler.codelets.base import Case
from jacquard.compiler.codelets.elementwise._pole import (
    MANTISSA,
    NONE,
    UNIT,
    exponent_pass,
    mantissa_pass,
    mantissa_table,
    otherwise,
)
from jacquard.compiler.codelets.elementwise._scaling import factors_to_multipliers, output_fields
from jacquard.compiler.codelets.elementwise._table import X, Passes, grid_cases, unary_codelet
from jacquard.compiler.graph.ir import Grid, Op
from jacquard.compiler.tile.pointwise import OUT, Pass
from jacquard.proto import npu_isa as isa

OCTAVES = "octaves"
STEP = 2**15  # of an octave


def wide(op: Op, x: Grid, y: Grid) -> Passes:
    """ln(mu), and the exponent and the scale in octaves, added."""
    factors = [1.0 / (float(UNIT) * y.scale), math.log(2.0) / (float(STEP) * y.scale)]
    (mult, octave), shift = factors_to_multipliers(op, factors)
    result = {
        **output_fields(op, y, shift), "op": int(isa.VectorOp.SADD), "mult1": mult,
        "mult2": octave, "imm2": int(np.rint(math.log2(x.scale) * STEP)),
    }
    return Passes(
        mantissa_table(np.log),
        {MANTISSA: isa.Dtype.S16, OCTAVES: isa.Dtype.S32, NONE: isa.Dtype.S8},
        (mantissa_pass(X, -x.zero_point), exponent_pass(OCTAVES, X, -x.zero_point, STEP),
         Pass(result, OUT, MANTISSA, OCTAVES),
         *otherwise(op, x, y, isa.VectorOp.LE, highest=False)),
    )


CASES = [
    *grid_cases(wide=2.5, positive=True),
    # Half of the operands have no logarithm: what they give is docs/nonlinear.md's choice.
    Case("signed", {"x": (7, 37)}, input_dtype="int16", tolerance=math.inf),
    Case("signed_wide", {"x": (7, 37)}, input_dtype="int16", output_dtype="uint16",
         tolerance=math.inf),
]
CODELET = unary_codelet("Log", lambda attrs: np.log, CASES, wide=wide)
