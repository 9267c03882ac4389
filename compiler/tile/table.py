"""Tables for VECTOR's table stage: a real function of int16 as 256 lines (docs/nonlinear.md).

A table function is one instruction: it brings its operand to int16 and looks it up (`TableStage`).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from jacquard.proto import npu_isa as isa

RealFunction = Callable[[npt.NDArray[np.float64]], npt.NDArray[np.float64]]
Table = npt.NDArray[np.int16]

ENTRIES = PIECE = 256
FIRST = -(2**15)  # the smallest argument
NARROW_BITS, WIDE_BITS = 7, 0  # fractional bits of entries for results of 8 bits, of 16


@dataclasses.dataclass(frozen=True)
class TableStage:
    """A look-up at `t = rshift((q + offset) * mult, shift)`, t = q + offset where mult is 0.

    Attributes:
      table: int16[256, 2]: base, slope.
      table_shift: of the interpolated value.
    """

    table: Table
    table_shift: int
    offset: int = 0
    mult: int = 0
    shift: int = 0

    @property
    def plain(self) -> bool:
        """t = q: the stage may stand behind whatever computes q."""
        return self.offset == 0 and self.mult == 0

    def fields(self, index: int) -> dict[str, int]:
        """VECTOR fields, the table being resident at `index`."""
        found = {"op": int(isa.VectorOp.MOVE), "imm1": self.offset, "table": 1,
                 "table_index": index, "table_shift": self.table_shift}
        if self.mult:
            found |= {"scale": int(isa.ScaleMode.IMM), "mult1": self.mult, "shift": self.shift}
        return found


def _int16(values: npt.NDArray[np.float64]) -> Table:
    limits = np.iinfo(np.int16)
    return np.clip(np.rint(values), limits.min, limits.max).astype(np.int16)


def _ranged(
    function: RealFunction, at: npt.NDArray[np.float64], lo: float, hi: float
) -> npt.NDArray[np.float64]:
    with np.errstate(all="ignore"):
        y = function(at)
    return np.clip(np.where(np.isnan(y), lo, y), lo, hi)


def interpolated(
    function: RealFunction,
    lo: float,
    hi: float,
    bits: int,
    offset: int = 0,
    mult: int = 0,
    shift: int = 0,
) -> TableStage:
    """A table of `function` of t = -32768 .. 32768, clipped to [lo, hi], with fractional `bits`.

    function: in units of the result, its zero point included; NaN counts as lo.
    offset, mult, shift: how t comes from the operand.
    """
    at = np.arange(FIRST, -FIRST + 1, dtype=np.float64)
    y = _ranged(function, at, lo, hi)
    ends = y[::PIECE]
    rise = np.diff(ends)
    part = np.arange(PIECE, dtype=np.float64)
    off = y[:-1].reshape(ENTRIES, PIECE) - (ends[:-1, None] + rise[:, None] * part / PIECE)
    # The chord, moved so that its errors above and below are equal.
    base = ends[:-1] + (off.max(axis=1) + off.min(axis=1)) / 2
    table = np.stack([_int16(base * 2.0**bits), _int16(rise * 2.0**bits)], axis=1)
    return TableStage(table, 8 + bits, offset, mult, shift)


def stepped(values: npt.NDArray[Any], offset: int = 0) -> TableStage:
    """A table of one number per value of an 8-bit type less `-offset`, in ascending order."""
    table = np.stack([_int16(np.asarray(values, np.float64)), np.zeros(ENTRIES, np.int16)], axis=1)
    return TableStage(table, 8, offset, mult=PIECE)
