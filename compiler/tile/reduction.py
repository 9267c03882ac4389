"""Sums, maxima and minima over whole dimensions: of positions, or of channels.

The operand's and the result's types may differ in size. What does not fit VMEM at once is reduced
piece by piece into int32 and brought to the result's grid at the end: one rounding.
"""

from __future__ import annotations

import dataclasses
import math

from jacquard.compiler.tile.access import ELEMENT_BYTES
from jacquard.compiler.tile.lowering import Lowering, Stored
from jacquard.compiler.tile.rows import Chunk, Places, Rows, Vectors, balanced, most
from jacquard.proto import npu_isa as isa

BLOCK_VECTORS = 512  # of a block of rows that needs to be no larger
_JOIN = {
    isa.ReduceOp.SUM: isa.VectorOp.ADD, isa.ReduceOp.MAXIMUM: isa.VectorOp.MAX,
    isa.ReduceOp.MINIMUM: isa.VectorOp.MIN,
}
_VMEM, _S32 = int(isa.Buffer.VMEM), isa.Dtype.S32


@dataclasses.dataclass(frozen=True)
class Reduction:
    """What is reduced, and how it is brought to its result's grid.

    offset: added to every element. fields: of the scale stage.
    """

    x: Stored
    out: Stored
    dtype: isa.Dtype
    out_dtype: isa.Dtype
    reduce: isa.ReduceOp
    offset: int
    fields: dict[str, int]

    @property
    def first(self) -> dict[str, int]:
        """Of instructions that read the operand."""
        return {"op": int(isa.VectorOp.MOVE), "imm1": self.offset, "reduce": int(self.reduce)}

    @property
    def join(self) -> dict[str, int]:
        """Of instructions that put two parts together."""
        return {"op": int(_JOIN[self.reduce])}


def emit_over_positions(low: Lowering, problem: Reduction, counts: tuple[int, int, int]) -> None:
    """Reduces the middle one of the three dimensions, of sizes `counts`, that positions have."""
    _Positions(low, problem, counts).run()


@dataclasses.dataclass(frozen=True)
class _Part:
    """From where to where of channel tiles, outer and inner positions."""

    tile: int
    tiles: int
    outer: int
    outers: int
    inner: int
    inners: int

    @property
    def results(self) -> int:
        return self.tiles * self.outers * self.inners


class _Positions:
    def __init__(self, low: Lowering, problem: Reduction, counts: tuple[int, int, int]) -> None:
        self.low, self.problem, self.counts = low, problem, counts
        self.x, self.out = problem.x.flat(), problem.out.flat()
        self.half = low.arch.vmem_bytes // 2

    def run(self) -> None:
        tiles, (outers, depth, inners) = self.x.tiles, self.counts
        tiles = min(tiles, -(-tiles // 2)) or 1  # two blocks, so that loads and results overlap
        while self._bytes(tiles * outers * inners, depth) > self.half and tiles > 1:
            tiles = -(-tiles // 2)
        while self._bytes(outers * inners, depth) > self.half and outers > 1:
            outers = -(-outers // 2)
        while self._bytes(inners, depth) > self.half and inners > 1:
            inners = -(-inners // 2)
        while self._bytes(inners, depth) > self.half and depth > 1:
            depth = -(-depth // 2)
        if outers < self.counts[0] or inners < self.counts[2] or depth < self.counts[1]:
            tiles = 1
        for tile in range(0, self.x.tiles, tiles):
            for outer in range(0, self.counts[0], outers):
                for inner in range(0, self.counts[2], inners):
                    self._part(_Part(
                        tile, min(tiles, self.x.tiles - tile),
                        outer, min(outers, self.counts[0] - outer),
                        inner, min(inners, self.counts[2] - inner),
                    ), depth)

    def _bytes(self, results: int, depth: int) -> int:
        whole = depth == self.counts[1]
        wide = 0 if whole else 2 * self.low.arch.vmem_row_bytes
        return results * (depth * self.x.position_bytes + self.out.position_bytes + wide)

    def _part(self, part: _Part, depth: int) -> None:
        problem, places = self.problem, Places(self.low)
        places.take({"y": part.results * self.out.position_bytes})
        if depth == self.counts[1]:
            fields = {**problem.first, **problem.fields}
            self._reduce(part, 0, depth, fields, places["y"], problem.out_dtype)
        else:
            wide = part.results * self.low.arch.vmem_row_bytes
            places.take({"sum": wide, "part": wide})
            whole, piece = places["sum"], places["part"]
            for start in range(0, self.counts[1], depth):
                count = min(depth, self.counts[1] - start)
                self._reduce(part, start, count, problem.first, piece if start else whole, _S32)
                if start:
                    self._flat(part, problem.join, whole, _S32, whole, piece)
            scale = {"op": int(isa.VectorOp.MOVE), **problem.fields}
            self._flat(part, scale, places["y"], problem.out_dtype, whole)
        self._store(part, places["y"])
        places.free()

    def _reduce(
        self, part: _Part, start: int, depth: int, fields: dict[str, int], dst: int,
        dtype: isa.Dtype,
    ) -> None:
        """Loads `depth` elements from `start` of each result, and reduces them."""
        size, (_, _, inners) = self.x.position_bytes, self.counts
        places = Places(self.low)
        places.take({"x": part.results * depth * size})
        row, out = part.inners * size, ELEMENT_BYTES[dtype] * self.low.arch.lanes
        self.low.emit(isa.Load(
            buffer=isa.Buffer.VMEM, arg=self.x.arg, dst=places["x"],
            dram=self.x.offset + part.tile * self.x.plane_bytes
            + ((part.outer * self.counts[1] + start) * inners + part.inner) * size,
            **_run(row, depth, inners * size), n2=part.outers, n3=part.tiles,
            d2=depth * row, s2=self.counts[1] * inners * size,
            d3=part.outers * depth * row, s3=self.x.plane_bytes,
        ))
        self.low.emit(isa.Vector(
            **fields, reduce_loops=1, n0=depth, n1=part.inners, n2=part.outers, n3=part.tiles,
            src1_buffer=_VMEM, src1_dtype=self.problem.dtype, src1_base=places["x"],
            src1_stride0=row, src1_stride1=size, src1_stride2=depth * row,
            src1_stride3=part.outers * depth * row,
            dst_buffer=_VMEM, dst_dtype=dtype, dst_base=dst, dst_stride1=out,
            dst_stride2=part.inners * out, dst_stride3=part.outers * part.inners * out,
        ))
        places.free()

    def _flat(
        self, part: _Part, fields: dict[str, int], dst: int, dtype: isa.Dtype, a: int, b: int = -1
    ) -> None:
        """One instruction over all results of a part; sources are int32."""
        lanes = self.low.arch.lanes
        sources = Vectors(a, _S32, 0, 4 * lanes).iterator("src1", "r")
        if b >= 0:
            sources |= Vectors(b, _S32, 0, 4 * lanes).iterator("src2", "r")
        target = Vectors(dst, dtype, 0, ELEMENT_BYTES[dtype] * lanes)
        self.low.emit(isa.Vector(**fields, **sources, **target.iterator("dst", "r"),
                                 n0=part.results, n1=1, n2=1, n3=1))

    def _store(self, part: _Part, src: int) -> None:
        out, inners = self.out, self.counts[2]
        size = out.position_bytes
        run = part.inners * size
        self.low.emit(isa.Store(
            buffer=isa.Buffer.VMEM, arg=out.arg, src=src,
            dram=out.offset + part.tile * out.plane_bytes
            + (part.outer * inners + part.inner) * size,
            n0=run, n1=part.outers, n2=part.tiles, n3=1, l1=run, s1=inners * size,
            l2=part.outers * run, s2=out.plane_bytes,
        ))


def _run(row: int, count: int, stride: int) -> dict[str, int]:
    """LOAD's inner loops over `count` rows of DRAM, which follow each other in VMEM."""
    if row == stride:
        return {"n0": row * count, "n1": 1}
    return {"n0": row, "n1": count, "d1": row, "s1": stride}


def emit_over_channels(low: Lowering, problem: Reduction, across: bool) -> None:
    """Reduces every position's channels.

    across: the results of consecutive positions are the channels of the result's; else each is the
    one channel of its own.
    """
    _Channels(low, problem, across).run()


class _Channels:
    def __init__(self, low: Lowering, problem: Reduction, across: bool) -> None:
        self.low, self.problem, self.across = low, problem, across
        self.x, self.out = problem.x.flat(), problem.out.flat()
        self.rows, self.lanes = Rows(low, self.x.channels), low.arch.lanes
        wanted = min(self.x.width, -(-BLOCK_VECTORS // self.rows.tiles))
        if across:
            wanted = min(wanted, self.lanes)
        self.tiles = self.rows.tiles
        self.block = most(low, wanted, lambda n: self._sizes(n, self.tiles))
        if not self.block:
            self.block = 1
            self.tiles = most(low, self.rows.tiles, lambda n: self._sizes(1, n))
        self.places = Places(low)

    def _sizes(self, rows: int, tiles: int) -> dict[str, int]:
        """Operands of two blocks; results of one, and of a square where they go across."""
        of, lanes = self.rows.bytes_of, self.lanes
        sizes = {"x0": of(self.problem.dtype, tiles, rows), "sum": of(_S32, 1, rows),
                 "x1": of(self.problem.dtype, tiles, rows), "part": of(_S32, 1, rows),
                 "y": of(self.problem.out_dtype, 1, lanes if self.across else rows)}
        if self.across:
            sizes["square"] = of(self.problem.out_dtype, 1, lanes)
        return sizes

    def run(self) -> None:
        self.places.take(self._sizes(self.block, self.tiles))
        if self.across:
            for position in range(self.out.width):
                for tile in range(self.out.tiles):
                    self._square(position, tile)
        else:
            size = balanced(self.x.width, self.block)
            for row in range(0, self.x.width, size):
                rows = min(size, self.x.width - row)
                self._reduce(row, rows, 0)
                self.rows.store(self.out, Chunk(0, 1, row, rows, 0), self.places["y"])
        self.places.free()

    def _reduce(self, row: int, rows: int, at: int) -> None:
        """Rows of the operand to results, the first one the vector `at` of "y"."""
        problem, parts = self.problem, self.rows.chunks(self.tiles, row, rows)
        result = self.rows.per_row(self.places["y"], problem.out_dtype)
        result = dataclasses.replace(result, base=result.base + at * result.row_stride)
        whole, part = (self.rows.per_row(self.places[name], _S32) for name in ("sum", "part"))
        for index, chunk in enumerate(parts):
            x = self.rows.block(self.places[f"x{(row // self.block + index) % 2}"], problem.dtype,
                                rows)
            self.rows.load(self.x, chunk, x.base)
            if len(parts) == 1:
                self.rows.reduce(chunk, {**problem.first, **problem.fields}, result, x)
            else:
                self.rows.accumulate(chunk, problem.first, _JOIN[problem.reduce], whole, part, x)
        if len(parts) > 1:
            self.rows.once(rows, {"op": int(isa.VectorOp.MOVE), **problem.fields}, result, whole)

    def _square(self, position: int, tile: int) -> None:
        """The channels of one tile of the result at one position: a column of vectors, turned."""
        first = tile * self.lanes
        count = min(self.lanes, self.out.channels - first)
        for start in range(0, count, self.block):
            rows = min(self.block, count - start)
            self._reduce(position * self.out.channels + first + start, rows, start)
        dtype, size = self.problem.out_dtype, self.out.position_bytes
        self.low.emit(isa.Vector(
            op=isa.VectorOp.TRANSPOSE, n0=self.lanes, n1=1, n2=1, n3=1,
            **Vectors(self.places["y"], dtype, 0, size).iterator("src1", "r"),
            **Vectors(self.places["square"], dtype, 0, size).iterator("dst", "r"),
        ))
        self.low.emit(isa.Store(
            buffer=isa.Buffer.VMEM, arg=self.out.arg, src=self.places["square"],
            dram=self.out.offset + tile * self.out.plane_bytes + position * size,
            n0=size, n1=1, n2=1, n3=1,
        ))


def positions(sizes: tuple[int, ...], reduced: tuple[int, ...]) -> tuple[int, int, int] | None:
    """Positions of dimensions `sizes` as three, of which the middle one holds those at `reduced`.

    None where others lie between them.
    """
    counted = [i for i in reduced if sizes[i] > 1]
    if not counted:
        return math.prod(sizes), 1, 1
    first, last = min(counted), max(counted)
    if any(sizes[i] > 1 and i not in counted for i in range(first, last)):
        return None
    return (math.prod(sizes[:first]), math.prod(sizes[first : last + 1]),
            math.prod(sizes[last + 1 :]))
