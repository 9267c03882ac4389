"""Element by element on VECTOR, with broadcasting: one instruction on each block, or several.

A block's operands are loaded, its passes run one after another over the same elements, and the
result is stored. What a pass leaves for a later one lies in VMEM and never goes to DRAM.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence

from jacquard.compiler.tile.access import ELEMENT_BYTES
from jacquard.compiler.tile.lowering import Lowering, Stored
from jacquard.compiler.tile.memory import Piece
from jacquard.compiler.tile.stream import Block, blocks, load_rect, store_block
from jacquard.proto import npu_isa as isa

OUT = "out"  # name of the result among a pass's operands
_MIDDLE = 2**15  # of uint16


@dataclasses.dataclass(frozen=True)
class Operand:
    """A stored operand; dimensions of size 1 are broadcast against the output's.

    across: its one channel stands for all channels of the output.
    """

    place: Stored
    dtype: isa.Dtype
    across: bool = False

    def height(self, rect_height: int) -> int:
        return rect_height if self.place.height > 1 else 1

    def width(self, rect_width: int) -> int:
        return rect_width if self.place.width > 1 else 1

    def tiles(self, block: Block) -> int:
        return block.tiles if self.place.tiles > 1 else 1

    def positions(self, rect_height: int, rect_width: int) -> int:
        return self.height(rect_height) * self.width(rect_width)


@dataclasses.dataclass(frozen=True)
class Pass:
    """One VECTOR instruction over a block.

    Attributes:
      fields: operation and scaling.
      dst, src1, src2: names of sources, of temporaries, or OUT; empty where absent.
    """

    fields: Mapping[str, int]
    dst: str
    src1: str = ""
    src2: str = ""


@dataclasses.dataclass(frozen=True)
class _Placed:
    """An operand of a block in VMEM: its address, and strides of columns, rows, channel tiles."""

    dtype: isa.Dtype
    base: int
    strides: tuple[int, int, int]

    def fields(self, prefix: str) -> dict[str, int]:
        found = {f"{prefix}_buffer": int(isa.Buffer.VMEM), f"{prefix}_dtype": int(self.dtype),
                 f"{prefix}_base": self.base}
        return found | {f"{prefix}_stride{i}": n for i, n in enumerate(self.strides)}


def emit_pointwise(
    low: Lowering,
    name: str,
    sources: list[Operand],
    out: Stored,
    fields: Mapping[str, int],
    params: int | None = None,
) -> None:
    """One VECTOR instruction per tile, with `fields` for operation, scaling and dst_dtype.

    `params`: offset of a PARAM table in the constants, a row per channel tile of the output.
    """
    named = {str(index): source for index, source in enumerate(sources)}
    operation = {key: value for key, value in fields.items() if key != "dst_dtype"}
    emit_passes(low, name, named, {}, [Pass(operation, OUT, *named)], out,
                isa.Dtype(fields["dst_dtype"]), params)


def emit_passes(
    low: Lowering,
    name: str,
    sources: Mapping[str, Operand],
    temporaries: Mapping[str, isa.Dtype],
    passes: Sequence[Pass],
    out: Stored,
    dtype: isa.Dtype,
    params: int | None = None,
) -> None:
    """Several VECTOR instructions per tile; the last ones write OUT, in `dtype`.

    temporaries: name -> type of what lies in VMEM between passes, of the output's extent.
    """
    same = all(
        (s.place.height, s.place.width) in ((out.height, out.width), (1, 1))
        for s in sources.values()
    )
    if same and out.dense and all(s.place.dense for s in sources.values()):
        out = out.flat()
        sources = {
            key: dataclasses.replace(s, place=s.place.flat()) for key, s in sources.items()
        }
    passes = [_signed(p) for p in passes] if dtype == isa.Dtype.U16 else passes

    def bytes_of(height: int, width: int) -> int:
        own = out.position_bytes + sum(
            ELEMENT_BYTES[t] * low.arch.lanes for t in temporaries.values()
        )
        return height * width * own + sum(
            s.positions(height, width) * s.place.position_bytes * (2 if s.across else 1)
            for s in sources.values()
        )

    for block in blocks(low, name, out, bytes_of):
        taken: list[Piece] = []
        placed = {key: _load(low, source, block, taken) for key, source in sources.items()}
        for key, kind in (*temporaries.items(), (OUT, dtype)):
            placed[key] = _room(low, kind, block, taken)
        row = None
        if params is not None:
            row = low.param.take(block.tiles)
            low.emit_param_load(params, block.first, row)
        for step in passes:
            encoded = dict(step.fields)
            if step.dst == OUT and dtype == isa.Dtype.U16:
                encoded |= dataclasses.replace(placed[OUT], dtype=isa.Dtype.S16).fields("dst")
            else:
                encoded |= placed[step.dst].fields("dst")
            for prefix, key in (("src1", step.src1), ("src2", step.src2)):
                if key:
                    encoded |= placed[key].fields(prefix)
            if row is not None and encoded.get("scale") == isa.ScaleMode.PER_LANE:
                encoded |= {"param": row.base, "param_stride2": 1}
            _emit(low, block, encoded)
        if dtype == isa.Dtype.U16:
            # VECTOR's zero point and clamp have 16 signed bits.
            result = placed[OUT]
            source = dataclasses.replace(result, dtype=isa.Dtype.S16).fields("src1")
            _emit(low, block, {"op": int(isa.VectorOp.MOVE), "imm1": _MIDDLE, **source,
                               **result.fields("dst")})
        store_block(low, out, block, placed[OUT].base)
        for piece in taken:
            low.vmem.free(piece)
        if row is not None:
            low.param.free(row)


def _emit(low: Lowering, block: Block, fields: Mapping[str, int]) -> None:
    """One instruction over a block's columns, rows and channel tiles."""
    low.emit(isa.Vector(**fields, n0=block.rect.width, n1=block.rect.height, n2=block.tiles, n3=1))


def _signed(step: Pass) -> Pass:
    """The pass with its result less the middle of uint16."""
    if step.dst != OUT:
        return step
    fields = dict(step.fields)
    fields["zero_point"] = fields.get("zero_point", 0) - _MIDDLE
    if fields.get("clamp"):
        fields |= {bound: fields[bound] - _MIDDLE for bound in ("lo", "hi")}
    return dataclasses.replace(step, fields=fields)


def _room(low: Lowering, kind: isa.Dtype, block: Block, taken: list[Piece]) -> _Placed:
    """VMEM for a value of every element of a block."""
    size, rect = ELEMENT_BYTES[kind] * low.arch.lanes, block.rect
    taken.append(low.vmem.take(rect.positions * block.tiles * size))
    return _Placed(kind, taken[-1].base, (size, rect.width * size, rect.positions * size))


def _load(low: Lowering, source: Operand, block: Block, taken: list[Piece]) -> _Placed:
    """Loads a block's part of an operand."""
    place, rect = source.place, block.rect
    height, width = source.height(rect.height), source.width(rect.width)
    tiles, size = source.tiles(block), place.position_bytes
    taken.append(low.vmem.take(height * width * tiles * size))
    load_rect(
        low, place, block.first if place.tiles > 1 else 0, tiles,
        rect.y if place.height > 1 else 0, rect.x if place.width > 1 else 0,
        height, width, taken[-1].base, 0,
    )
    loaded = _Placed(source.dtype, taken[-1].base, (
        size if width > 1 else 0,
        width * size if height > 1 else 0,
        height * width * size if tiles > 1 else 0,
    ))
    return _spread(low, loaded, height, width, size, taken) if source.across else loaded


def _spread(
    low: Lowering, source: _Placed, height: int, width: int, size: int, taken: list[Piece]
) -> _Placed:
    """Copies lane 0 of every position to all lanes: the sum over that lane alone."""
    taken.append(low.vmem.take(height * width * size))
    target = dataclasses.replace(source, base=taken[-1].base)
    column, row, _ = source.strides
    # Loop 0 runs once, so that tail_lanes holds in every iteration.
    moved = {key: dataclasses.replace(p, strides=(0, column, row)) for key, p in
             (("src1", source), ("dst", target))}
    low.emit(isa.Vector(
        op=isa.VectorOp.MOVE, reduce=isa.ReduceOp.SUM, lane_reduce=1, tail_lanes=1,
        **moved["src1"].fields("src1"), **moved["dst"].fields("dst"),
        n0=1, n1=width, n2=height, n3=1,
    ))
    return target
