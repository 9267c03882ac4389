"""This step's keys or values, written into their state at the run-time position.

passes/kv_cache.py makes these of Concat(past, new row). One row of all heads is a block in every channel
tile; where it goes says an argument register.
"""

from __future__ import annotations

from collections.abc import Sequence

from jacquard.compiler.codelets.base import Array, Case, Codelet
from jacquard.compiler.graph.ir import Op
from jacquard.compiler.tile.ir import POSITION_ARG
from jacquard.compiler.tile.lowering import Lowering
from jacquard.proto import npu_isa as isa


def lower(op: Op, low: Lowering) -> None:
    low.begin_layer(op, macs=0)
    row, state = low.stored(op.inputs[0]), low.places[op.outputs[0]]
    size, tiles = row.position_bytes, state.size_bytes // state.plane_bytes
    first = op.attrs["first_column"] // row.block
    piece = low.vmem.take(tiles * size)
    low.emit(isa.Load(buffer=isa.Buffer.VMEM, arg=row.arg, dst=piece.base,
                      dram=row.offset + first * row.plane_bytes, n0=size, n1=tiles, n2=1, n3=1,
                      d1=size, s1=row.plane_bytes))
    low.emit(isa.Store(buffer=isa.Buffer.VMEM, arg=POSITION_ARG, src=piece.base,
                       dram=state.offset, n0=size, n1=tiles, n2=1, n3=1, l1=size,
                       s1=state.plane_bytes))
    low.vmem.free(piece)


def reference(op: Op, inputs: Sequence[Array]) -> Sequence[Array]:
    """The row; where it lies no real arithmetic knows."""
    del op
    return list(inputs)


def cases() -> Sequence[Case]:
    return []  # no node: benchmarks/conformance/kv_cache_test.py runs whole steps


# The pass makes these; parse is never called.
CODELET = Codelet("CacheAppend", None, lower, reference, cases, view="last")
