"""Windows reduced on VECTOR: maxima, sums under one rounding."""

from __future__ import annotations

import dataclasses

from jacquard.compiler.tile.lowering import Lowering, Stored
from jacquard.compiler.tile.operand import Rect, Window
from jacquard.compiler.tile.stream import blocks, load_rect, store_block
from jacquard.proto import npu_isa as isa


@dataclasses.dataclass(frozen=True)
class Pooling:
    """fields: of the VECTOR instruction (reduction, scaling); fill: byte outside of the input.

    regions: parts of the output with a multiplier of their own, (rectangle, mult1); one region
    with the whole output where all are alike.
    """

    name: str
    x: Stored
    out: Stored
    window: Window
    dtype: isa.Dtype
    fill: int
    fields: dict[str, int]
    regions: tuple[tuple[Rect, int], ...]


def emit_pooling(low: Lowering, pool: Pooling) -> None:
    """Emits a pooling layer: per block one load, a VECTOR instruction per region, one store."""
    (ky, kx), (sy, sx), (dy, dx) = pool.window.kernel, pool.window.strides, pool.window.dilations
    size = pool.out.position_bytes

    def extent(height: int, width: int) -> tuple[int, int]:
        return (height - 1) * sy + (ky - 1) * dy + 1, (width - 1) * sx + (kx - 1) * dx + 1

    def bytes_of(height: int, width: int) -> int:
        rows, columns = extent(height, width)
        return (rows * columns + height * width) * size

    for block in blocks(low, pool.name, pool.out, bytes_of):
        rect = block.rect
        rows, columns = extent(rect.height, rect.width)
        source = low.vmem.take(rows * columns * block.tiles * size)
        load_rect(low, pool.x, block.first, block.tiles, rect.y * sy - pool.window.pads[0],
                  rect.x * sx - pool.window.pads[1], rows, columns, source.base, pool.fill)
        result = low.vmem.take(rect.positions * block.tiles * size)
        for region, mult in pool.regions:
            part = _intersection(region, rect)
            if part is None:
                continue
            for tile in range(block.tiles):
                start = (part.y * sy * columns + part.x * sx + tile * rows * columns) * size
                target = (part.y * rect.width + part.x + tile * rect.positions) * size
                low.emit(
                    isa.Vector(
                        **pool.fields, mult1=mult, reduce_loops=2,
                        n0=kx, n1=ky, n2=part.width, n3=part.height,
                        src1_buffer=isa.Buffer.VMEM, src1_dtype=pool.dtype,
                        src1_base=source.base + start, src1_stride0=dx * size,
                        src1_stride1=dy * columns * size, src1_stride2=sx * size,
                        src1_stride3=sy * columns * size,
                        dst_buffer=isa.Buffer.VMEM, dst_base=result.base + target,
                        dst_stride2=size, dst_stride3=rect.width * size,
                    )
                )
        store_block(low, pool.out, block, result.base)
        low.vmem.free(source)
        low.vmem.free(result)


def _intersection(region: Rect, rect: Rect) -> Rect | None:
    """The region's part inside a block's rectangle, relative to the rectangle."""
    y, x = max(region.y, rect.y), max(region.x, rect.x)
    height = min(region.y + region.height, rect.y + rect.height) - y
    width = min(region.x + region.width, rect.x + rect.width) - x
    if height <= 0 or width <= 0:
        return None
    return Rect(y - rect.y, x - rect.x, height, width)
