"""Functions with a pole at 0, of 16-bit operands: a table over one octave pair, and the exponent.

docs/nonlinear.md, "Functions with a pole". x = q - z = mu * 4^n, mu in [1, 4).
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from jacquard.compiler.codelets.base import Array, bounds
from jacquard.compiler.codelets.elementwise._table import X
from jacquard.compiler.graph.ir import Grid, Op
from jacquard.compiler.tile.pointwise import OUT, Pass
from jacquard.compiler.tile.table import Table, interpolated
from jacquard.proto import npu_isa as isa

MANTISSA = "mantissa"
UNIT = 2**14  # of mu in steps of the table's argument, and of the tables' results
HIGHEST = 2**15 - 1
MOST = 14  # the exponent of 65535
WIDE_SHIFT = 8  # of tables without fractional bits
NONE = "none"


def mantissa_table(function: Callable[[Array], Array]) -> Table:
    """2^14 function(mu) of t = 2^14 mu - 2^15; 0 where mu < 1, which is where x <= 0."""

    def scaled(t: Array) -> Array:
        mu = (t + 2.0**15) / UNIT
        return np.where(mu < 1.0, 0.0, UNIT * function(mu))

    return interpolated(scaled, 0.0, float(HIGHEST), 0).table


def mantissa_pass(source: str, offset: int) -> Pass:
    """table(mu) of source + offset, int16."""
    fields = {
        "op": int(isa.VectorOp.NORM), "imm1": offset, "scale": int(isa.ScaleMode.IMM), "mult1": 1,
        "shift": 14, "zero_point": -(2**15), "table": 1, "table_shift": WIDE_SHIFT,
    }
    return Pass(fields, MANTISSA, source)


def exponent_pass(
    target: str, source: str, offset: int, mult: int, shift: int = 0, zero: int = 0
) -> Pass:
    """rshift(exponent of (source + offset) * mult, shift) + zero."""
    fields = {"op": int(isa.VectorOp.EXPONENT), "imm1": offset, "mult1": mult, "shift": shift,
              "scale": int(isa.ScaleMode.IMM), "zero_point": zero}
    return Pass(fields, target, source)


def otherwise(op: Op, x: Grid, y: Grid, test: isa.VectorOp, highest: bool) -> tuple[Pass, Pass]:
    """The end of the result's range where x compares with 0 as `test` says."""
    bound = bounds(op, y)[1 if highest else 0]
    return (
        Pass({"op": int(test), "imm1": -x.zero_point}, NONE, X),
        Pass({"op": int(isa.VectorOp.SELECT), "imm1": bound}, OUT, src2=NONE),
    )
