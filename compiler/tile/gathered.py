"""Rows of a table by indices in DRAM: LOAD picks them, VECTOR puts their channel tiles in order.

The table lies in the weights row by row, each padded to whole channel tiles.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

from jacquard.compiler.tile.ir import WEIGHT_ARG
from jacquard.compiler.tile.lowering import Lowering, Stored
from jacquard.compiler.tile.operand import Rect
from jacquard.compiler.tile.stream import Block, store_block
from jacquard.proto import npu_isa as isa
from jacquard.proto.lib.errors import UserError

LEAST_ROWS = 8  # of a block, before its rows are cut: short rows of DRAM cost more than more blocks


def emit_gathered(
    low: Lowering,
    name: str,
    table: npt.NDArray[np.integer],
    indices: Stored,
    index: str,
    out: Stored,
    fields: Mapping[str, int],
    dtype: isa.Dtype,
) -> None:
    """The rows that `indices` name, as the positions of `out`.

    Args:
      table: [rows, features], in the machine's type `dtype`.
      indices: int32 in DRAM, one for each position. index: what the host makes them of.
      fields: VECTOR's, for one operand.
    """
    rows, features = table.shape
    block = out.block
    padded = np.zeros((rows, out.tiles * block), table.dtype)
    padded[:, :features] = table
    size, stride = block * table.itemsize, padded.shape[1] * table.itemsize
    base = low.weights(padded.tobytes(), index)
    out = out.flat()
    half, position = low.arch.vmem_bytes // 2, size + out.position_bytes
    if position > half:
        raise UserError(
            f"layer {name}: a channel tile of one row must fit half of VMEM ({half} bytes), needs "
            f"{position}, {position - half} too many; use a larger configuration"
        )
    tiles = min(out.tiles, max(1, half // (position * min(out.width, LEAST_ROWS))))
    # Two blocks at least, so that one is stored while the other is loaded.
    count = min(half // (position * tiles), -(-out.width // 2))
    for first in range(0, out.tiles, tiles):
        end = min(first + tiles, out.tiles)
        run = (end - first) * size
        for x in range(0, out.width, count):
            width = min(count, out.width - x)
            picked = low.vmem.take(width * run)
            result = low.vmem.take(width * (end - first) * out.position_bytes)
            low.emit(isa.Load(
                buffer=isa.Buffer.VMEM, arg=WEIGHT_ARG, dst=picked.base,
                dram=base + first * size, n0=run, n1=width, n2=1, n3=1, d1=run, s1=stride,
                gather=1, index_arg=indices.arg, index_dram=indices.offset + 4 * x,
                index_limit=rows,
            ))
            low.emit(isa.Vector(
                **fields, n0=width, n1=end - first, n2=1, n3=1,
                src1_buffer=isa.Buffer.VMEM, src1_dtype=dtype, src1_base=picked.base,
                src1_stride0=run, src1_stride1=size,
                dst_buffer=isa.Buffer.VMEM, dst_base=result.base,
                dst_stride0=out.position_bytes, dst_stride1=width * out.position_bytes,
            ))
            store_block(low, out, Block(first, end, Rect(0, x, 1, width)), result.base)
            low.vmem.free(picked)
            low.vmem.free(result)
