"""Element by element on VECTOR, with broadcasting: Add, Mul, requantization, leaky relu."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

from jacquard.compiler.tile.lowering import Lowering, Stored
from jacquard.compiler.tile.stream import Block, blocks, load_rect, store_block
from jacquard.proto import npu_isa as isa


@dataclasses.dataclass(frozen=True)
class Operand:
    """A stored operand; dimensions of size 1 are broadcast against the output's."""

    place: Stored
    dtype: isa.Dtype

    def height(self, block: Block) -> int:
        return block.rect.height if self.place.height > 1 else 1

    def width(self, block: Block) -> int:
        return block.rect.width if self.place.width > 1 else 1

    def tiles(self, block: Block) -> int:
        return block.tiles if self.place.tiles > 1 else 1


def emit_pointwise(
    low: Lowering,
    name: str,
    sources: list[Operand],
    out: Stored,
    fields: Mapping[str, int],
    params: int | None = None,
) -> None:
    """One VECTOR instruction per tile, with `fields` for operation and scaling.

    `params`: offset of a PARAM table in the constants, a row per channel tile of the output.
    """
    same = all(
        (s.place.height, s.place.width) in ((out.height, out.width), (1, 1)) for s in sources
    )
    if same and out.dense and all(s.place.dense for s in sources):
        out = out.flat()
        sources = [dataclasses.replace(s, place=s.place.flat()) for s in sources]

    def bytes_of(height: int, width: int) -> int:
        total = height * width * out.position_bytes
        for source in sources:
            rows = height if source.place.height > 1 else 1
            columns = width if source.place.width > 1 else 1
            total += rows * columns * source.place.position_bytes
        return total

    for block in blocks(low, name, out, bytes_of):
        rect = block.rect
        pieces, encoded = [], dict(fields)
        for index, source in enumerate(sources):
            place = source.place
            height, width, tiles = source.height(block), source.width(block), source.tiles(block)
            size = place.position_bytes
            piece = low.vmem.take(height * width * tiles * size)
            pieces.append(piece)
            load_rect(
                low, place, block.first if place.tiles > 1 else 0, tiles,
                rect.y if place.height > 1 else 0, rect.x if place.width > 1 else 0,
                height, width, piece.base, 0,
            )
            prefix = f"src{index + 1}"
            encoded[f"{prefix}_buffer"] = int(isa.Buffer.VMEM)
            encoded[f"{prefix}_dtype"] = int(source.dtype)
            encoded[f"{prefix}_base"] = piece.base
            encoded[f"{prefix}_stride0"] = size if width > 1 else 0
            encoded[f"{prefix}_stride1"] = width * size if height > 1 else 0
            encoded[f"{prefix}_stride2"] = height * width * size if tiles > 1 else 0
        result = low.vmem.take(rect.positions * block.tiles * out.position_bytes)
        row = None
        if params is not None:
            row = low.param.take(block.tiles)
            low.emit_param_load(params, block.first, row)
            encoded["param"], encoded["param_stride2"] = row.base, 1
        size = out.position_bytes
        low.emit(
            isa.Vector(
                **encoded, n0=rect.width, n1=rect.height, n2=block.tiles, n3=1,
                dst_buffer=isa.Buffer.VMEM, dst_base=result.base, dst_stride0=size,
                dst_stride1=rect.width * size, dst_stride2=rect.positions * size,
            )
        )
        store_block(low, out, block, result.base)
        for piece in (*pieces, result):
            low.vmem.free(piece)
        if row is not None:
            low.param.free(row)
