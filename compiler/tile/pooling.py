"""Windows reduced on VECTOR: maxima, sums under one rounding, means over whole dimensions."""

from __future__ import annotations

import dataclasses

from jacquard.compiler.tile.lowering import Lowering, Stored
from jacquard.compiler.tile.operand import Rect, Window
from jacquard.compiler.tile.stream import Block, blocks, load_rect, store_block
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


def emit_global_mean(
    low: Lowering, name: str, x: Stored, out: Stored, dtype: isa.Dtype, fields: dict[str, int]
) -> None:
    """Means over all positions; a plane larger than half of VMEM is summed in parts first.

    fields: scaling of the VECTOR instruction that gives the result; imm1 is added to each element.
    """
    flat, size = x.flat(), x.position_bytes
    half = low.arch.vmem_bytes // 2
    whole = Stored(out.arg, out.offset, out.channels, 1, 1, out.block, size, size)
    if flat.width * size + size <= half:
        for block in blocks(low, name, whole, lambda h, w: (flat.width + 1) * size):
            source = low.vmem.take(flat.width * block.tiles * size)
            load_rect(low, flat, block.first, block.tiles, 0, 0, 1, flat.width, source.base, 0)
            result = low.vmem.take(block.tiles * size)
            low.emit(
                isa.Vector(
                    **fields, reduce=isa.ReduceOp.SUM, reduce_loops=1,
                    n0=flat.width, n1=block.tiles, n2=1, n3=1,
                    src1_buffer=isa.Buffer.VMEM, src1_dtype=dtype, src1_base=source.base,
                    src1_stride0=size, src1_stride1=flat.width * size,
                    dst_buffer=isa.Buffer.VMEM, dst_base=result.base, dst_stride1=size,
                )
            )
            store_block(low, whole, block, result.base)
            low.vmem.free(source)
            low.vmem.free(result)
        return
    step = half // 2 // size
    parts = -(-flat.width // step)
    for tile in range(flat.tiles):
        sums = low.vmem.take(parts * low.arch.vmem_row_bytes)
        for part in range(parts):
            width = min(step, flat.width - part * step)
            source = low.vmem.take(width * size)
            load_rect(low, flat, tile, 1, 0, part * step, 1, width, source.base, 0)
            low.emit(
                isa.Vector(
                    imm1=fields.get("imm1", 0), reduce=isa.ReduceOp.SUM, reduce_loops=1,
                    n0=width, n1=1, n2=1, n3=1,
                    src1_buffer=isa.Buffer.VMEM, src1_dtype=dtype, src1_base=source.base,
                    src1_stride0=size, dst_buffer=isa.Buffer.VMEM, dst_dtype=isa.Dtype.S32,
                    dst_base=sums.base + part * low.arch.vmem_row_bytes,
                )
            )
            low.vmem.free(source)
        result = low.vmem.take(size)
        low.emit(
            isa.Vector(
                **{**fields, "imm1": 0}, reduce=isa.ReduceOp.SUM, reduce_loops=1,
                n0=parts, n1=1, n2=1, n3=1,
                src1_buffer=isa.Buffer.VMEM, src1_dtype=isa.Dtype.S32, src1_base=sums.base,
                src1_stride0=low.arch.vmem_row_bytes,
                dst_buffer=isa.Buffer.VMEM, dst_base=result.base,
            )
        )
        store_block(low, whole, Block(tile, tile + 1, Rect(0, 0, 1, 1)), result.base)
        low.vmem.free(sums)
        low.vmem.free(result)


def emit_feature_mean(
    low: Lowering, name: str, x: Stored, out: Stored, dtype: isa.Dtype, fields: dict[str, int]
) -> None:
    """Means over the channels of each position; all lanes of the result hold it."""
    x, out = x.flat(), out.flat()
    size = x.position_bytes
    tail = x.channels % low.arch.lanes
    for block in blocks(low, name, out, lambda h, w: (x.tiles + 1) * w * size):
        width = block.rect.width
        source = low.vmem.take(width * x.tiles * size)
        load_rect(low, x, 0, x.tiles, 0, block.rect.x, 1, width, source.base, 0)
        result = low.vmem.take(width * size)
        low.emit(
            isa.Vector(
                **fields, reduce=isa.ReduceOp.SUM, reduce_loops=1, lane_reduce=1, tail_lanes=tail,
                n0=x.tiles, n1=width, n2=1, n3=1,
                src1_buffer=isa.Buffer.VMEM, src1_dtype=dtype, src1_base=source.base,
                src1_stride0=width * size, src1_stride1=size,
                dst_buffer=isa.Buffer.VMEM, dst_base=result.base, dst_stride1=size,
            )
        )
        store_block(low, out, block, result.base)
        low.vmem.free(source)
        low.vmem.free(result)
