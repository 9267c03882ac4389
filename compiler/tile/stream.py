"""Layers that run on VECTOR alone: tiles of the output stream through VMEM.

A tile is a range of channel tiles and rows; its operands are loaded, one VECTOR instruction (or a
few) computes it, one STORE writes it back. While one tile is computed the next one's operands
arrive, since each tile takes at most half of VMEM.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator

from jacquard.compiler.tile.lowering import Lowering, Stored
from jacquard.compiler.tile.operand import Rect
from jacquard.proto import npu_isa as isa
from jacquard.proto.lib.errors import UserError


@dataclasses.dataclass(frozen=True)
class Block:
    """Channel tiles [first, end) of a rectangle of the output."""

    first: int
    end: int
    rect: Rect

    @property
    def tiles(self) -> int:
        return self.end - self.first


def blocks(
    low: Lowering, name: str, out: Stored, bytes_of: object
) -> Iterator[Block]:
    """Cuts the output so that the operands and result of a block take at most half of VMEM.

    `bytes_of(height, width)` gives the VMEM bytes of one channel tile of a block of that size.
    """
    assert callable(bytes_of)
    half = low.arch.vmem_bytes // 2
    height, width, tiles = out.height, out.width, out.tiles
    while bytes_of(height, width) > half and height > 1:
        height = -(-height // 2)
    while bytes_of(height, width) > half and width > 1:
        width = -(-width // 2)
    needed = bytes_of(height, width)
    if needed > half:
        raise UserError(
            f"layer {name}: one output position's operands must fit half of VMEM ({half} bytes), "
            f"need {needed}, {needed - half} too many; use a larger configuration"
        )
    step = 1
    if height == out.height and width == out.width:
        # At least two blocks where there is enough work, so that loads and results overlap.
        step = max(1, min(half // needed, -(-tiles // 2)))
    for first in range(0, tiles, step):
        for y in range(0, out.height, height):
            for x in range(0, out.width, width):
                rect = Rect(y, x, min(height, out.height - y), min(width, out.width - x))
                yield Block(first, min(first + step, tiles), rect)


def load_rect(
    low: Lowering,
    place: Stored,
    first: int,
    tiles: int,
    y: int,
    x: int,
    height: int,
    width: int,
    dst: int,
    fill: int,
) -> None:
    """Loads a rectangle of some channel tiles into VMEM, dense; `fill` outside of the tensor."""
    size = place.position_bytes
    top, left = min(max(-y, 0), height), min(max(-x, 0), width)
    bottom = min(max(y + height - place.height, 0), height - top)
    right = min(max(x + width - place.width, 0), width - left)
    if top + bottom == height or left + right == width:
        low.emit(isa.Load(buffer=isa.Buffer.VMEM, dst=dst, fill=fill & 0xFF,
                          n0=width * size, n1=height * tiles, n2=1, n3=1, d1=width * size,
                          before0=width * size))
        return
    if place.step:
        low.emit(isa.Load(buffer=isa.Buffer.VMEM, arg=place.arg, dst=dst, fill=fill & 0xFF,
                          dram=place.offset + first * place.plane_bytes + (x + left) * place.step,
                          n0=size, n1=width, n2=tiles, n3=1, d1=size, s1=place.step,
                          d2=width * size, s2=place.plane_bytes, before1=left, after1=right))
        return
    dram = (
        place.offset + first * place.plane_bytes + (y + top) * place.row_bytes + (x + left) * size
    )
    if width == place.width and place.dense and not left and not right:
        low.emit(isa.Load(buffer=isa.Buffer.VMEM, arg=place.arg, dst=dst, dram=dram,
                          fill=fill & 0xFF, n0=height * width * size, n1=tiles, n2=1, n3=1,
                          d1=height * width * size, s1=place.plane_bytes,
                          before0=top * width * size, after0=bottom * width * size))
        return
    low.emit(isa.Load(buffer=isa.Buffer.VMEM, arg=place.arg, dst=dst, dram=dram, fill=fill & 0xFF,
                      n0=width * size, n1=height, n2=tiles, n3=1, d1=width * size,
                      s1=place.row_bytes, d2=height * width * size, s2=place.plane_bytes,
                      before0=left * size, after0=right * size, before1=top, after1=bottom))


def store_block(low: Lowering, out: Stored, block: Block, src: int) -> None:
    """Stores a dense block from VMEM."""
    fields = rect_fields(out, block.rect, (block.first, block.end))
    low.emit(isa.Store(buffer=isa.Buffer.VMEM, arg=out.arg, src=src, **fields))


def rect_fields(place: Stored, rect: Rect, tiles: tuple[int, int]) -> dict[str, int]:
    """STORE fields that copy [tile][y][x][block] dense on chip to a rectangle of a tensor."""
    size = place.position_bytes
    count = tiles[1] - tiles[0]
    dram = (
        place.offset + tiles[0] * place.plane_bytes + rect.y * place.row_bytes + rect.x * size
    )
    if place.step:
        return {"dram": dram + rect.x * (place.step - size), "n0": size, "n1": count,
                "n2": rect.width, "n3": 1, "l1": rect.width * size, "s1": place.plane_bytes,
                "l2": size, "s2": place.step}
    if rect.height == 1 or (rect.width == place.width and place.dense):
        run = rect.positions * size
        return {"dram": dram, "n0": run, "n1": count, "n2": 1, "n3": 1, "l1": run,
                "s1": place.plane_bytes}
    run = rect.width * size
    return {"dram": dram, "n0": run, "n1": rect.height, "n2": count, "n3": 1, "l1": run,
            "s1": place.row_bytes, "l2": rect.height * run, "s2": place.plane_bytes}


def as_load(fields: dict[str, int]) -> dict[str, int]:
    """The same copy in LOAD's field names."""
    return {name.replace("l", "d") if name in ("l1", "l2") else name: v
            for name, v in fields.items()}
