"""Sequences of VECTOR passes over rows (the last dimension), in blocks of rows in VMEM.

A block lies in VMEM as [channel tile][row][lane]. Three kinds of instruction make up a sequence:
over every vector of the block, reductions of each row to one vector whose lanes all hold the row's
value, and arithmetic on those. The last kind runs once for all rows of the block, since dependent
single vectors are a pipeline's length apart.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping

from jacquard.compiler.tile.access import ELEMENT_BYTES
from jacquard.compiler.tile.lowering import Lowering, Stored
from jacquard.compiler.tile.memory import NoRoom, Piece
from jacquard.compiler.tile.operand import Rect
from jacquard.compiler.tile.stream import Block, load_rect, store_block
from jacquard.proto import npu_isa as isa


BLOCK_VECTORS = 192  # of a block that needs to be no larger: enough to hide loads and latencies


@dataclasses.dataclass(frozen=True)
class Vectors:
    """Vectors in VMEM, or in IBUF: that of (tile, row) at base + tile * tile_stride + row *
    row_stride bytes.

    A stride of 0: one vector serves all tiles (a row's statistics) or all rows (a channel's).
    """

    base: int
    dtype: isa.Dtype
    tile_stride: int
    row_stride: int
    buffer: isa.Buffer = isa.Buffer.VMEM

    def from_tile(self, tile: int) -> Vectors:
        return dataclasses.replace(self, base=self.base + tile * self.tile_stride)

    def iterator(self, prefix: str, loops: str = "tr") -> dict[str, int]:
        """Fields of an iterator. loops: what loops 0, 1 run over, of t(iles) and r(ows)."""
        strides = [self.tile_stride if loop == "t" else self.row_stride for loop in loops]
        found = {f"{prefix}_buffer": int(self.buffer), f"{prefix}_dtype": int(self.dtype),
                 f"{prefix}_base": self.base}
        return found | {f"{prefix}_stride{i}": stride for i, stride in enumerate(strides)}


@dataclasses.dataclass(frozen=True)
class Chunk:
    """Channel tiles [first, end) of a block of `rows` rows from row `row` of the tensor."""

    first: int
    end: int
    row: int
    rows: int
    tail: int  # channels in the last tile where the chunk ends with it and it is not full; else 0

    @property
    def tiles(self) -> int:
        return self.end - self.first


class Rows:
    """Emits passes over blocks of rows of `channels` channels."""

    def __init__(self, low: Lowering, channels: int) -> None:
        self.low, self.lanes = low, low.arch.lanes
        self.channels, self.tiles = channels, -(-channels // self.lanes)

    def chunk(self, first: int, end: int, row: int, rows: int) -> Chunk:
        tail = self.channels % self.lanes if end == self.tiles else 0
        return Chunk(first, end, row, rows, tail)

    def bytes_of(self, dtype: isa.Dtype, tiles: int, rows: int) -> int:
        return tiles * rows * self.lanes * ELEMENT_BYTES[dtype]

    def block(self, base: int, dtype: isa.Dtype, rows: int) -> Vectors:
        """A vector per tile and row, dense."""
        size = self.bytes_of(dtype, 1, 1)
        return Vectors(base, dtype, rows * size, size)

    def per_row(self, base: int, dtype: isa.Dtype) -> Vectors:
        return Vectors(base, dtype, 0, self.bytes_of(dtype, 1, 1))

    def per_tile(self, base: int, dtype: isa.Dtype) -> Vectors:
        return Vectors(base, dtype, self.bytes_of(dtype, 1, 1), 0)

    # --- passes -----------------------------------------------------------------------------------

    def each(
        self, chunk: Chunk, fields: Mapping[str, int], dst: Vectors, a: Vectors | None = None,
        b: Vectors | None = None, dst2: Vectors | None = None,
    ) -> None:
        """Every vector of a chunk; a PARAM row per tile where `fields` has a first one.

        Loop 0 is the one that a source's vectors serve, if they serve one: they are read once then.
        """
        loops = "rt" if any(s is not None and not s.row_stride for s in (a, b)) else "tr"
        found = {**fields, **dst.iterator("dst", loops)}
        if dst2 is not None:
            found |= dst2.iterator("dst2", loops)
        if "param" in found:
            found[f"param_stride{loops.index('t')}"] = 1
        counts = {"t": chunk.tiles, "r": chunk.rows}
        self._emit(counts[loops[0]], counts[loops[1]], found, _sources(a, b, loops))

    def reduce(
        self, chunk: Chunk, fields: Mapping[str, int], dst: Vectors, a: Vectors,
        b: Vectors | None = None,
    ) -> None:
        """Every row of a chunk to one value, in all lanes of a vector of `dst`."""
        found = {**fields, "reduce_loops": 1, "lane_reduce": 1, "tail_lanes": chunk.tail}
        self._emit(chunk.tiles, chunk.rows, found | dst.iterator("dst"), _sources(a, b))

    def accumulate(
        self, chunk: Chunk, fields: Mapping[str, int], join: isa.VectorOp, dst: Vectors,
        part: Vectors, a: Vectors,
    ) -> None:
        """Rows reduced chunk by chunk: the first sets `dst`, the others join it through `part`."""
        if chunk.first == 0:
            self.reduce(chunk, fields, dst, a)
            return
        self.reduce(chunk, fields, part, a)
        self.once(chunk.rows, {"op": int(join)}, dst, dst, part)

    def once(
        self, rows: int, fields: Mapping[str, int], dst: Vectors, a: Vectors | None = None,
        b: Vectors | None = None,
    ) -> None:
        """One vector per row."""
        self._emit(rows, 1, {**fields, **dst.iterator("dst", "r")}, _sources(a, b, "r"))

    def _emit(self, n0: int, n1: int, fields: dict[str, int], sources: dict[str, int]) -> None:
        self.low.emit(isa.Vector(**fields, **sources, n0=n0, n1=n1, n2=1, n3=1))

    def chunks(self, size: int, row: int, rows: int) -> list[Chunk]:
        """Whole rows as chunks of at most `size` tiles."""
        return [
            self.chunk(first, min(first + size, self.tiles), row, rows)
            for first in range(0, self.tiles, size)
        ]

    # --- DRAM -------------------------------------------------------------------------------------

    def load(self, place: Stored, chunk: Chunk, dst: int) -> None:
        load_rect(self.low, place.flat(), chunk.first, chunk.tiles, 0, chunk.row, 1, chunk.rows,
                  dst, 0)

    def store(self, place: Stored, chunk: Chunk, src: int) -> None:
        rect = Rect(0, chunk.row, 1, chunk.rows)
        store_block(self.low, place.flat(), Block(chunk.first, chunk.end, rect), src)


def _sources(a: Vectors | None, b: Vectors | None, loops: str = "tr") -> dict[str, int]:
    found: dict[str, int] = {}
    for prefix, source in (("src1", a), ("src2", b)):
        if source is not None:
            found |= source.iterator(prefix, loops)
    return found


class Places:
    """Pieces of VMEM by name."""

    def __init__(self, low: Lowering) -> None:
        self._vmem = low.vmem
        self._pieces: dict[str, Piece] = {}

    def __getitem__(self, name: str) -> int:
        """A piece's first byte."""
        return self._pieces[name].base

    def take(self, sizes: Mapping[str, int]) -> None:
        """Takes all or none. NoRoom where they do not fit, however they are placed one by one."""
        try:
            self._pieces |= self._taken(sizes)
        except NoRoom:  # where the piece before ended they may leave gaps that are of no use
            self._vmem.restart()
            self._pieces |= self._taken(sizes)

    def _taken(self, sizes: Mapping[str, int]) -> dict[str, Piece]:
        found: dict[str, Piece] = {}
        try:
            for name, size in sorted(sizes.items(), key=lambda item: -item[1]):
                found[name] = self._vmem.take(size)
        except NoRoom:
            for piece in found.values():
                self._vmem.free(piece)
            raise
        return found

    def free(self, *names: str) -> None:
        """Those named; all where none is."""
        for name in names or tuple(self._pieces):
            self._vmem.free(self._pieces.pop(name))


def total_bytes(low: Lowering, sizes: Mapping[str, int]) -> int:
    unit = low.arch.vmem_row_bytes
    return sum(-(-size // unit) * unit for size in sizes.values())


def most(low: Lowering, limit: int, sizes: Callable[[int], Mapping[str, int]]) -> int:
    """The largest n up to `limit` for which `sizes(n)` fits VMEM; 0 if there is none."""
    low_end, high_end = 0, limit + 1  # fits; does not
    while high_end - low_end > 1:
        middle = (low_end + high_end) // 2
        if total_bytes(low, sizes(middle)) <= low.arch.vmem_bytes:
            low_end = middle
        else:
            high_end = middle
    return low_end


def balanced(count: int, most_each: int) -> int:
    """The size of equal parts, none above `most_each`, as few as that allows."""
    return -(-count // -(-count // most_each))
