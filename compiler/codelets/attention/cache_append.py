"""Keys or values, written into the rows of their state.

passes/kv_cache.py makes these: of Concat(past, new row), whose one row goes to the run-time
position, and of a prefill's keys and values, rows 0 and on, where no product stores them there
itself. In a tensor the rows of a channel tile lie together, in a state the channel tiles of a
row.
"""

from __future__ import annotations

from collections.abc import Sequence

from jacquard.compiler.codelets.base import Array, Case, Codelet
from jacquard.compiler.graph.ir import Op
from jacquard.compiler.tile.ir import CACHE_ARG, POSITION_ARG
from jacquard.compiler.tile.lowering import Lowering
from jacquard.proto import npu_isa as isa


def lower(op: Op, low: Lowering) -> None:
    source, state = low.stored(op.inputs[0]).flat(), low.places[op.outputs[0]]
    size, tiles = source.position_bytes, state.tiles
    low.begin_layer(op, macs=0, moved_bytes=2 * source.width * tiles * size)
    arg = POSITION_ARG if op.attrs["appends"] else CACHE_ARG
    first = op.attrs["first_column"] // source.block
    half = low.arch.vmem_bytes // 2  # so that a part arrives while the one before leaves
    some = min(tiles, half // size)
    count = min(source.width, half // (some * size))
    for start in range(0, source.width, count):
        rows = min(count, source.width - start)
        for tile in range(0, tiles, some):
            wide = min(some, tiles - tile)
            piece = low.vmem.take(wide * rows * size)
            low.emit(isa.Load(
                buffer=isa.Buffer.VMEM, arg=source.arg, dst=piece.base,
                dram=source.offset + (first + tile) * source.plane_bytes + start * size,
                n0=rows * size, n1=wide, n2=1, n3=1, d1=rows * size, s1=source.plane_bytes,
            ))
            dram = state.offset + tile * size + start * state.step
            if rows == 1:  # one run
                low.emit(isa.Store(buffer=isa.Buffer.VMEM, arg=arg, src=piece.base, dram=dram,
                                   n0=wide * size, n1=1, n2=1, n3=1))
            else:
                low.emit(isa.Store(
                    buffer=isa.Buffer.VMEM, arg=arg, src=piece.base, dram=dram,
                    n0=size, n1=wide, n2=rows, n3=1, l1=rows * size, s1=size, l2=size,
                    s2=state.step,
                ))
            low.vmem.free(piece)


def reference(op: Op, inputs: Sequence[Array]) -> Sequence[Array]:
    """The rows; where they lie no real arithmetic knows."""
    del op
    return list(inputs)


def cases() -> Sequence[Case]:
    return []  # no node: benchmarks/conformance/kv_cache_test.py runs whole steps


# The pass makes these; parse is never called.
CODELET = Codelet("CacheAppend", None, lower, reference, cases, view="last")
