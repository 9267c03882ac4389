"""From the elements of rows to the factor F of each: docs/nonlinear.md, LayerNormalization."""

from __future__ import annotations

import dataclasses

import numpy as np

from jacquard.compiler.codelets.norm._steps import Steps
from jacquard.compiler.tile.lowering import Lowering
from jacquard.compiler.tile.rows import Chunk, Places, Rows, Vectors
from jacquard.compiler.tile.table import WIDE_BITS, interpolated
from jacquard.proto import npu_isa as isa

INVERSE_ROOT = interpolated(
    lambda t: 32768.0 / np.sqrt(np.maximum(t + 32768.0, 16384.0) / 16384.0), 0, 32767, WIDE_BITS
).table
WHOLE = ("mean", "variance", "weight", "root", "first", "square")  # vectors per row: names
IN_PARTS = (*WHOLE, "high", "low", "carry")
SPLIT = 31  # sums of squares in parts: high * 2**SPLIT + low

_S16, _S32 = isa.Dtype.S16, isa.Dtype.S32
_MUL, _SADD = int(isa.VectorOp.MUL), int(isa.VectorOp.SADD)
_IMM = int(isa.ScaleMode.IMM)
_SUM = {"op": _MUL, "reduce": int(isa.ReduceOp.SUM)}


def shifted(left: int) -> dict[str, int]:
    """Scale fields for `x * 2**left`, rounded where left < 0."""
    return {"scale": _IMM, "mult1": 1 << max(left, 0), "shift": max(-left, 0)}


@dataclasses.dataclass(frozen=True)
class Statistics:
    """Emits the passes that end with one vector per row.

    epsilon: eps'. offset: added to elements whose squares are summed. left: that sum times 2**left
    is V. narrow: it fits an int32.
    """

    low: Lowering
    rows: Rows
    places: Places
    epsilon: int
    offset: int
    left: int
    narrow: bool

    def row(self, name: str, dtype: isa.Dtype = _S32) -> Vectors:
        return self.rows.per_row(self.places[name], dtype)

    def squares(self, block: Chunk, elements: Vectors) -> None:
        """V of whole rows."""
        fields = {**_SUM, "imm1": self.offset, "imm2": self.offset, **shifted(self.left)}
        self.rows.reduce(block, fields, self.row("variance"), elements, elements)

    def squares_in_parts(self, chunk: Chunk, elements: Vectors, free: Vectors) -> None:
        """Adds a chunk's squares to "high" and "low": a sum of 64 bits leaves VECTOR in two parts.

        low: the sum's lowest 31 bits as a signed number: 8 Q 2^30 wraps at 64 bits, over 2^33.
        high, negative: -(2 Q + 1) over 2^32 rounds to that without a tie. The factors 2 and 8 come
        from the elements, copied to `free` (int32).
        """
        first = chunk.first == 0
        high, low, carry = self.row("high"), self.row("low"), self.row("carry")
        if self.narrow:
            fields = {**_SUM, "imm1": self.offset, "imm2": self.offset}
            self.rows.reduce(chunk, fields, low if first else carry, elements, elements)
            if not first:
                self._add(chunk.rows, low, carry)
            return
        odd = self.low.load_params(np.ones(self.rows.lanes, np.int64),
                                   np.full(self.rows.lanes, -1, np.int32))
        param = self.low.param.take(1)
        self.low.emit_param_load(odd, 0, param)
        self._shift(chunk, elements, free, 1)
        fields = {**_SUM, "imm1": self.offset, "scale": int(isa.ScaleMode.PER_LANE),
                  "param": param.base, "shift": 32}
        self.rows.reduce(chunk, fields, high if first else carry, elements, free)
        self.low.param.free(param)
        if not first:
            self._add(chunk.rows, high, carry)
        self._shift(chunk, elements, free, 3)
        fields = {**_SUM, "imm1": self.offset, "scale": _IMM, "mult1": 1 << 30, "shift": 33}
        self.rows.reduce(chunk, fields, low if first else carry, elements, free)
        if first:
            return
        rows, once = chunk.rows, self.rows.once
        self._add(rows, low, carry)
        # Of 32 bits now: what is above the lowest 31 goes to `high`.
        once(rows, {"op": _SADD, "scale": _IMM, "mult1": 2, "imm2": 1, "mult2": 1, "shift": 32},
             carry, low)
        once(rows, {"op": int(isa.VectorOp.SUB)}, high, high, carry)
        once(rows, {"op": _SADD, "scale": _IMM, "mult1": 1, "mult2": -(1 << SPLIT)},
             low, low, carry)

    def join(self, rows: int) -> None:
        """V from its parts."""
        if self.narrow:
            self.rows.once(rows, {"op": int(isa.VectorOp.MOVE), **shifted(self.left)},
                           self.row("variance"), self.row("low"))
            return
        assert self.left <= 0
        self.rows.once(rows, {"op": _SADD, **shifted(self.left), "mult2": -(1 << SPLIT)},
                       self.row("variance"), self.row("low"), self.row("high"))

    def _add(self, rows: int, total: Vectors, part: Vectors) -> None:
        self.rows.once(rows, {"op": int(isa.VectorOp.ADD)}, total, total, part)

    def _shift(self, chunk: Chunk, elements: Vectors, free: Vectors, by: int) -> None:
        fields = {"op": int(isa.VectorOp.SHL), "imm1": self.offset, "imm2": by}
        self.rows.each(chunk, fields, free, elements)

    def factors(self, rows: int) -> None:
        """F in "root", from V."""
        row, once = self.row, self.rows.once
        variance, weight, root = row("variance"), row("weight"), row("root")
        first, product = row("first", _S16), row("square")
        look_up = {"zero_point": -32768, "table": 1, "table_shift": 8,
                   "table_index": self.low.table(INVERSE_ROOT)}
        read = {"imm1": self.epsilon}
        # The longest chain first: what does not depend on a line fills the pipeline behind it.
        once(rows, {"op": int(isa.VectorOp.NORM), **read, **shifted(-14), **look_up},
             first, variance)
        once(rows, {"op": int(isa.VectorOp.NORM), **read}, root, variance)
        once(rows, {"op": int(isa.VectorOp.EXPONENT), **read, "scale": _IMM, "mult1": -1,
                    "shift": 1, "zero_point": 15}, weight, variance)
        once(rows, {"op": _MUL}, product, first, first)
        once(rows, {"op": int(isa.VectorOp.SHL), "imm1": 1}, weight, None, weight)
        once(rows, {"op": _MUL, **shifted(-29)}, root, root, product)
        once(rows, {"op": _MUL, "imm1": -3 * 2**29, "scale": _IMM, "mult1": -1, "shift": 14},
             root, root, first)
        once(rows, {"op": _MUL, **shifted(-15)}, root, root, weight)


def statistics(
    low: Lowering, rows: Rows, places: Places, steps: Steps, epsilon: int, zero: int,
    element_bytes: int, centred: bool,
) -> Statistics:
    """Of rows of d (centred: their mean is out), or of the operand with that zero point, where d
    is never stored."""
    if centred:
        return Statistics(low, rows, places, epsilon, 0, -steps.k, False)
    return Statistics(low, rows, places, epsilon, -zero, 2 * steps.b - steps.k, element_bytes == 1)
