"""A max pool behind a convolution, on chip: only the pooled tensor goes to DRAM.

A spatial tile is a band of whole rows. Its requantized rows lie in VMEM under the last rows of the
band before, padded left and right with the lowest value; VECTOR takes the maxima of the windows
that are complete, and keeps the rows that the next band's windows reach back to.
"""

from __future__ import annotations

import dataclasses

from jacquard.compiler.tile.lowering import Lowering, Stored
from jacquard.compiler.tile.memory import Piece
from jacquard.compiler.tile.operand import Rect, Window
from jacquard.proto import npu_isa as isa


@dataclasses.dataclass(frozen=True)
class Pool:
    """The pooling that follows. `fields`: scaling of the maxima to the pooled tensor's grid."""

    window: Window  # dilations of 1
    width: int  # of the convolution's result
    out: Stored  # the pooled tensor
    lowest: int  # of the convolution's type: padding never wins
    fields: dict[str, int] = dataclasses.field(hash=False)

    def pitch(self) -> int:
        """Positions of a padded row in VMEM: all that windows cover, and the whole result."""
        covered = (self.out.width - 1) * self.window.strides[1] + self.window.kernel[1]
        return max(covered, self.window.pads[1] + self.width)

    @property
    def kept_rows(self) -> int:
        """Most rows that a window reaches back into the band before."""
        return self.window.kernel[0] - 1

    def vmem_bytes(self, height: int, output_tiles: int, lanes: int) -> int:
        """Needed for bands of that height: two buffers, all output tiles' kept rows, results."""
        row = self.pitch() * lanes
        pooled = -(-height // self.window.strides[0]) + 1
        return (
            2 * (height + self.kept_rows) * row + output_tiles * self.kept_rows * row
            + 3 * pooled * self.out.width * lanes
        )


def feasible(
    window: Window, width: int, output_tiles: int, pooled_width: int, vmem_bytes: int, lanes: int,
    half_rows: int,
) -> bool:
    """Whether bands of the pool's stride in rows fit the accumulators and half of VMEM."""
    place = Stored(0, 0, 1, 1, pooled_width, lanes, 0, 0)
    pool = Pool(window, width, place, 0, {})
    height = window.strides[0]
    return (
        window.dilations == (1, 1)
        and window.kernel[0] >= height
        and height * width <= half_rows
        and pool.vmem_bytes(height, output_tiles, lanes) <= vmem_bytes * 3 // 4
    )


class Pooling:
    """State of one fused pool during emission: the kept rows of every output tile."""

    def __init__(self, low: Lowering, pool: Pool, height: int, tiles: int) -> None:
        """height, tiles: of the convolution's result."""
        self.low, self.pool, self.height = low, pool, height
        self.row = pool.pitch() * low.arch.lanes
        self.kept: dict[int, Piece] = {}
        if pool.kept_rows:
            for tile in range(tiles):
                self.kept[tile] = low.vmem.take(pool.kept_rows * self.row)

    def free(self) -> None:
        """Gives the kept rows back at the layer's end."""
        for piece in self.kept.values():
            self.low.vmem.free(piece)

    def _ready(self, end: int) -> int:
        """Pooled rows whose windows are complete when convolution rows [0, end) are there."""
        if end == self.height:
            return self.pool.out.height
        top, (stride, _) = self.pool.window.pads[0], self.pool.window.strides
        return min(max((end + top - self.pool.window.kernel[0]) // stride + 1, 0),
                   self.pool.out.height)

    def _first_row(self, pooled: int) -> int:
        """First convolution row under a pooled row; negative in the padding."""
        return pooled * self.pool.window.strides[0] - self.pool.window.pads[0]

    def drain(self, rect: Rect, tile: int, requantize: dict[str, int], dtype: isa.Dtype) -> None:
        """Takes a finished band of one output tile from OBUF; stores what can be pooled.

        `requantize`: VECTOR fields of the requantization, its source and parameters.
        """
        low, pool, lanes = self.low, self.pool, self.low.arch.lanes
        start, end = self._ready(rect.y), self._ready(rect.y + rect.height)
        base_row = self._first_row(start)  # of the buffer's row 0
        bottom = rect.y + rect.height
        last = max(bottom, self._first_row(end - 1) + pool.window.kernel[0] if end > start else 0)
        buffer = low.vmem.take((last - base_row) * self.row)

        def at(row: int) -> int:
            return buffer.base + (row - base_row) * self.row

        byte = {"dst_dtype": int(dtype), "dst_buffer": int(isa.Buffer.VMEM)}
        top = max(base_row, 0)
        if top < rect.y:
            self._copy(self.kept[tile].base, at(top), rect.y - top, byte, dtype)
        left = pool.window.pads[1]
        low.emit(
            isa.Vector(
                **requantize, **byte, n0=rect.width, n1=rect.height, n2=1, n3=1,
                dst_base=at(rect.y) + left * lanes, dst_stride0=lanes, dst_stride1=self.row,
            )
        )
        right = self.pool.pitch() - left - rect.width
        if left > 0:
            self._fill(at(rect.y), left, rect.height, byte)
        if right > 0:
            self._fill(at(rect.y) + (left + rect.width) * lanes, right, rect.height, byte)
        for first, stop in ((base_row, top), (bottom, last)):  # padding above and below the image
            if stop > first:
                self._fill(at(first), pool.pitch(), stop - first, byte)
        if end > start:
            self._maxima(start, end, tile, at(base_row), dtype)
        if bottom < self.height:
            keep = max(self._first_row(end), 0)
            if keep < bottom:
                self._copy(at(keep), self.kept[tile].base, bottom - keep, byte, dtype)
        low.vmem.free(buffer)

    def _maxima(self, start: int, end: int, tile: int, source: int, dtype: isa.Dtype) -> None:
        """Pools rows [start, end) from a buffer that begins under the first of them."""
        low, pool, lanes = self.low, self.pool, self.low.arch.lanes
        (ky, kx), (sy, sx) = pool.window.kernel, pool.window.strides
        run = (end - start) * pool.out.width * lanes
        result = low.vmem.take(run)
        low.emit(
            isa.Vector(
                **pool.fields, op=isa.VectorOp.MOVE, reduce=isa.ReduceOp.MAXIMUM, reduce_loops=2,
                n0=kx, n1=ky, n2=pool.out.width, n3=end - start,
                src1_buffer=isa.Buffer.VMEM, src1_dtype=dtype, src1_base=source,
                src1_stride0=lanes, src1_stride1=self.row, src1_stride2=sx * lanes,
                src1_stride3=sy * self.row,
                dst_buffer=isa.Buffer.VMEM, dst_base=result.base, dst_stride2=lanes,
                dst_stride3=pool.out.width * lanes,
            )
        )
        low.emit(
            isa.Store(
                buffer=isa.Buffer.VMEM, arg=pool.out.arg, src=result.base,
                dram=pool.out.offset + tile * pool.out.plane_bytes + start * pool.out.row_bytes,
                n0=run, n1=1, n2=1, n3=1,
            )
        )
        low.vmem.free(result)

    def _copy(
        self, source: int, target: int, rows: int, byte: dict[str, int], dtype: isa.Dtype
    ) -> None:
        """Copies whole padded rows inside VMEM."""
        lanes = self.low.arch.lanes
        self.low.emit(
            isa.Vector(
                **byte, op=isa.VectorOp.MOVE, n0=rows * self.pool.pitch(), n1=1, n2=1, n3=1,
                src1_buffer=isa.Buffer.VMEM, src1_dtype=dtype, src1_base=source,
                src1_stride0=lanes, dst_base=target, dst_stride0=lanes,
            )
        )

    def _fill(self, target: int, positions: int, rows: int, byte: dict[str, int]) -> None:
        """Writes the lowest value to `positions` vectors at the start of each of some rows."""
        lanes = self.low.arch.lanes
        self.low.emit(
            isa.Vector(
                **byte, op=isa.VectorOp.MOVE, imm1=self.pool.lowest,
                n0=positions, n1=rows, n2=1, n3=1,
                dst_base=target, dst_stride0=lanes, dst_stride1=self.row,
            )
        )
