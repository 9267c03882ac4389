"""A second, 8-bit output of an op: the QuantizeLinear of its first, made before that leaves chip.

passes/fuse.py gives an op of a codelet that `narrows` two outputs, (wide, narrow); the narrow one's
integers are those that the QuantizeLinear codelet would make of the wide one's.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping

from jacquard.compiler.codelets.elementwise._scaling import rescale
from jacquard.compiler.graph.ir import Op
from jacquard.compiler.tile.lowering import Lowering, Stored, dtype_of
from jacquard.proto import npu_isa as isa


@dataclasses.dataclass(frozen=True)
class Narrow:
    """fields: of the pass from the wide integers to the narrow ones. stored: they go to DRAM."""

    name: str
    stored: bool
    place: Stored
    dtype: isa.Dtype
    fields: Mapping[str, int]


def narrow_of(op: Op, low: Lowering) -> Narrow | None:
    """The second output of an op that has one."""
    if len(op.outputs) < 2:
        return None
    wide, narrow = (low.tensor(name) for name in op.outputs)
    free = dataclasses.replace(op, lo=-math.inf, hi=math.inf)  # its clamp is the wide one's
    fields, mult = rescale(free, wide.grid, narrow.grid)
    fields |= {"op": int(isa.VectorOp.MOVE), "mult1": mult}
    return Narrow(narrow.name, low.residents.stored(narrow.name), low.stored(narrow.name),
                  dtype_of(narrow), fields)
