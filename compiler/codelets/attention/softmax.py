"""Softmax over the last axis: exponentials less the row's maximum, by table, over their sum.

docs/nonlinear.md, "Softmax". A block of rows whose elements fit VMEM is computed there; of longer
rows chunks stream through it three times: for the maximum, for the sum, for the results. In front
of a product (passes/row_weights.py) the results are the exponentials in 8 bits, and each row's
factor leaves beside them.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from jacquard.compiler.codelets.attention._softmax import (
    LARGEST,
    MIDDLE,
    RECIPROCAL,
    UNIT,
    WEIGHTS,
    exponent_step,
    softmax_tables,
)
from jacquard.compiler.codelets.base import SIGNED, Array, Case, Codelet, Node, Parsed
from jacquard.compiler.graph.ir import Op, QTensor
from jacquard.compiler.tile.lowering import Lowering, dtype_of
from jacquard.compiler.tile.operand import Rect
from jacquard.compiler.tile.rows import Chunk, Places, Rows, Vectors, balanced, most
from jacquard.compiler.tile.stream import Block, store_block
from jacquard.proto import npu_isa as isa
from jacquard.proto.lib.errors import UserError

LONGEST_ROW = 32768
LONG_ROWS = 4  # of a block whose rows come in chunks
BLOCK_VECTORS = 512  # of a block that needs to be no larger: enough to hide loads and latencies
LOWEST = -(2**31)

_S16, _S32 = isa.Dtype.S16, isa.Dtype.S32
_IMM = int(isa.ScaleMode.IMM)


def parse(node: Node) -> Parsed:
    x = node.activation(0)
    rank = len(x.shape)
    axis = int(node.get("axis", -1 if node.opset >= 13 else 1)) % rank
    if axis != rank - 1:
        raise UserError(
            f"{node.place}: must run over the last axis, got axis {axis} of {x.shape}; transpose "
            "the operand"
        )
    if not 1 <= x.shape[-1] <= LONGEST_ROW:
        raise UserError(
            f"{node.place}: rows must have 1 to {LONGEST_ROW} elements, got {x.shape[-1]}; split "
            "the operator"
        )
    inputs = [x]
    if node.operand(1) is not None:
        mask = node.activation(1)
        if mask.shape[-1] != x.shape[-1]:
            raise UserError(
                f"{node.place}: a mask must have as many columns as the logits, got {mask.shape} "
                f"for {x.shape}; expand it"
            )
        inputs.append(mask)
    return Parsed(tuple(inputs), {}, (x.shape,))


def lower(op: Op, low: Lowering) -> None:
    low.begin_layer(op, macs=0)
    (_Weights if "row_factors" in op.attrs else _Softmax)(op, low).run()


def _mask_rows(mask: QTensor, shape: tuple[int, ...]) -> npt.NDArray[np.int64]:
    """The row of the mask for each row of the logits."""
    lead = (1,) * (len(shape) - len(mask.shape)) + mask.shape[:-1]
    rows = np.arange(math.prod(lead)).reshape(lead)
    return np.broadcast_to(rows, shape[:-1]).reshape(-1)


class _Softmax:
    """One layer. Rows of the mask go along with the block's, or one serves them all."""

    def __init__(self, op: Op, low: Lowering) -> None:
        self.low = low
        x, y = low.tensor(op.inputs[0]), low.tensor(op.outputs[0])
        self.x, self.y = low.stored(x.name).flat(), low.stored(y.name).flat()
        self.rows = Rows(low, self.x.channels)
        self.dtype, self.out_dtype = dtype_of(x), dtype_of(y)
        self._constants(op, x.grid.scale, y)
        self.mask_row: npt.NDArray[np.int64] | None = None
        if len(op.inputs) > 1:
            mask = low.tensor(op.inputs[1])
            self.mask = low.stored(mask.name).flat()
            self.mask_row = _mask_rows(mask, x.shape)
        self._plan()

    def _constants(self, op: Op, scale: float, y: QTensor) -> None:
        """Tables and multipliers; e' and what is added to it."""
        found = softmax_tables(op, scale, y.grid)
        self.exponential, self.reciprocal = found.exponential, found.reciprocal
        self.table_shift, self.step = 8, (found.mult, found.shift)
        self.factor_mult, self.result = found.factor_mult, found.result
        self.e_dtype, self.hidden = _S16, -MIDDLE

    def _plan(self) -> None:
        """Rows of a block and tiles of a chunk, and where all of it lies."""
        count, tiles = self.x.width, self.rows.tiles
        wanted = min(count, max(LONG_ROWS, -(-BLOCK_VECTORS // tiles)))
        self.chunk_tiles = tiles
        self.block = most(self.low, wanted, lambda n: self._sizes(n, tiles))
        if not self.block:
            self.block = min(LONG_ROWS, count)
            self.chunk_tiles = most(self.low, tiles, lambda n: self._sizes(self.block, n))
        assert self.chunk_tiles
        self.block = balanced(count, self.block)
        self.chunk_tiles = balanced(tiles, self.chunk_tiles)
        self.places = Places(self.low)
        self.places.take(self._sizes(self.block, self.chunk_tiles))

    def _sizes(self, rows: int, tiles: int) -> dict[str, int]:
        of = self.rows.bytes_of
        sizes = {"x": of(self.dtype, tiles, rows), "e": of(_S16, tiles, rows),
                 "y": of(self.out_dtype, tiles, rows)}
        if self.mask_row is not None:
            single = (self.mask_row == self.mask_row[0]).all()
            sizes["mask"] = of(_S32, tiles, 1 if single else rows)
        return sizes | {name: of(_S32, 1, rows) for name in ("largest", "sum", "part", "up")}

    # --- blocks -----------------------------------------------------------------------------------

    def _blocks(self) -> Iterator[tuple[int, int]]:
        """(first row, rows): rows of a block have one row of the mask, or consecutive ones."""
        first, count = 0, self.x.width
        while first < count:
            end = min(first + self.block, count)
            if self.mask_row is not None and end - first > 1:
                steps = np.diff(self.mask_row[first:end])
                good = steps == (0 if steps[0] == 0 else 1)
                end = end if good.all() else max(first + 1 + int(np.argmin(good)), first + 1)
            yield first, end - first
            first = end

    def run(self) -> None:
        blocks = [
            self.rows.chunks(self.chunk_tiles, row, rows) for row, rows in self._blocks()
        ]
        if self.chunk_tiles < self.rows.tiles:
            for chunks in blocks:
                self._long(chunks)
        else:
            self._load(blocks[0][0], None)
            for index, (chunk,) in enumerate(blocks):
                following = blocks[index + 1][0] if index + 1 < len(blocks) else None
                self._whole(chunk, following)
        self.places.free()

    def _whole(self, chunk: Chunk, following: Chunk | None) -> None:
        """A block of whole rows; the next one's arrive when this one's exponentials stand."""
        self._hide(chunk)
        self._largest(chunk)
        self._exponentials(chunk)
        self.low.table(self.reciprocal)  # where it takes the other's place: in good time
        if following is not None:
            self._load(following, chunk)
        self._total(chunk)
        self._factors(chunk.rows)
        if following is not None:
            self.low.table(self.exponential)
        self._results(chunk)

    def _long(self, chunks: list[Chunk]) -> None:
        """A block of rows in chunks: three sweeps."""
        self._sweep_largest(chunks)
        for chunk in chunks:
            self._load(chunk, None)
            self._exponentials(chunk)
            self._total(chunk)
        self._factors(chunks[0].rows)
        for chunk in chunks:
            self._load(chunk, None)
            self._exponentials(chunk)
            self._results(chunk)

    def _sweep_largest(self, chunks: list[Chunk]) -> None:
        """The maxima of rows in chunks."""
        for chunk in chunks:
            self._load(chunk, None)
            self._hide(chunk)
            self._largest(chunk)

    # --- steps ------------------------------------------------------------------------------------

    def _load(self, chunk: Chunk, loaded: Chunk | None) -> None:
        """Logits, and their mask where it is not that of the block `loaded` before."""
        self.rows.load(self.x, chunk, self.places["x"])
        if self.mask_row is None:
            return
        wanted = self._masks(chunk)
        if loaded is None or wanted != self._masks(loaded):
            self.rows.load(self.mask, wanted, self.places["mask"])

    def _masks(self, chunk: Chunk) -> Chunk:
        """Where a chunk's mask lies."""
        assert self.mask_row is not None
        first, last = self.mask_row[chunk.row], self.mask_row[chunk.row + chunk.rows - 1]
        return self.rows.chunk(chunk.first, chunk.end, int(first), int(last - first) + 1)

    def _mask(self, chunk: Chunk) -> Vectors:
        rows, base = self._masks(chunk).rows, self.places["mask"]
        return self.rows.block(base, _S32, rows) if rows > 1 else self.rows.per_tile(base, _S32)

    def _block_of(self, name: str, dtype: isa.Dtype, chunk: Chunk) -> Vectors:
        return self.rows.block(self.places[name], dtype, chunk.rows)

    def _row(self, name: str, dtype: isa.Dtype = _S32) -> Vectors:
        return self.rows.per_row(self.places[name], dtype)

    def _hide(self, chunk: Chunk) -> None:
        """The lowest logit of the type where masked: it is no larger than the row's maximum."""
        if self.mask_row is not None:
            fields = {"op": int(isa.VectorOp.SELECT), "imm1": LOWEST}
            self.rows.each(chunk, fields, self._block_of("x", self.dtype, chunk), None,
                           self._mask(chunk))

    def _largest(self, chunk: Chunk) -> None:
        fields = {"op": int(isa.VectorOp.MOVE), "reduce": int(isa.ReduceOp.MAXIMUM)}
        x = self._block_of("x", self.dtype, chunk)
        self.rows.accumulate(chunk, fields, isa.VectorOp.MAX, self._row("largest"),
                             self._row("part"), x)

    def _exponentials(self, chunk: Chunk) -> None:
        """e' = table((x - M) m), and the least there is where masked."""
        e = self._block_of("e", self.e_dtype, chunk)
        mult, shift = self.step
        fields = {
            "op": int(isa.VectorOp.SUB), "scale": _IMM, "mult1": mult, "shift": shift,
            "zero_point": LARGEST, "table": 1, "table_shift": self.table_shift,
            "table_index": self.low.table(self.exponential),
        }
        self.rows.each(chunk, fields, e, self._block_of("x", self.dtype, chunk),
                       self._row("largest"))
        if self.mask_row is not None:
            hide = {"op": int(isa.VectorOp.SELECT), "imm1": self.hidden}
            self.rows.each(chunk, hide, e, None, self._mask(chunk))

    def _total(self, chunk: Chunk) -> None:
        fields = {"op": int(isa.VectorOp.MOVE), "imm1": MIDDLE, "reduce": int(isa.ReduceOp.SUM)}
        e = self._block_of("e", _S16, chunk)
        self.rows.accumulate(chunk, fields, isa.VectorOp.ADD, self._row("sum"),
                             self._row("part"), e)

    def _reciprocals(self, rows: int) -> None:
        """R in "part", H in "up", of the sums."""
        total, up, reciprocal = self._row("sum"), self._row("up"), self._row("part", _S16)
        self.rows.once(rows, {"op": int(isa.VectorOp.NORM), "scale": _IMM, "mult1": 1, "shift": 14,
                              "zero_point": -MIDDLE, "table": 1, "table_shift": 8,
                              "table_index": self.low.table(self.reciprocal)},
                       reciprocal, total)
        self.rows.once(rows, {"op": int(isa.VectorOp.EXPONENT), "scale": _IMM, "mult1": -1,
                              "zero_point": 30}, up, total)

    def _factor(self, rows: int, mult: int) -> None:
        """F in "sum"."""
        fields = {"op": int(isa.VectorOp.SHL), "scale": _IMM, "mult1": mult, "shift": 31}
        self.rows.once(rows, fields, self._row("sum"), self._row("part", _S16), self._row("up"))

    def _factors(self, rows: int) -> None:
        self._reciprocals(rows)
        self._factor(rows, self.factor_mult)

    def _results(self, chunk: Chunk) -> None:
        fields = {"op": int(isa.VectorOp.MUL), "imm1": MIDDLE, **self.result.fields}
        self.rows.each(chunk, fields, self._block_of("y", self.out_dtype, chunk),
                       self._block_of("e", _S16, chunk), self._row("sum"))
        self.rows.store(self.y, chunk, self.places["y"])


class _Weights(_Softmax):
    """In front of products: exponentials of 8 bits, and a factor per row for each product."""

    def __init__(self, op: Op, low: Lowering) -> None:
        super().__init__(op, low)
        self.mults: tuple[tuple[int, ...], ...] = op.attrs["row_factors"]
        self.factors = [low.stored(name).flat() for name in op.outputs[1:]]

    def _constants(self, op: Op, scale: float, y: QTensor) -> None:
        self.exponential, self.reciprocal = WEIGHTS.table, RECIPROCAL
        self.table_shift, self.step = WEIGHTS.table_shift, exponent_step(op, scale)
        self.e_dtype, self.hidden = dtype_of(y), 0

    def _blocks(self) -> Iterator[tuple[int, int]]:
        """The same; rows of a block have one factor where heads have their own."""
        size = self.x.width // max(map(len, self.mults))
        for first, count in super()._blocks():
            while count:
                rows = min(count, size - first % size)
                yield first, rows
                first, count = first + rows, count - rows

    def _sizes(self, rows: int, tiles: int) -> dict[str, int]:
        sizes = super()._sizes(rows, tiles)
        sizes["e"] = sizes.pop("y")
        return sizes

    def _long(self, chunks: list[Chunk]) -> None:
        """Two sweeps: the results are there before the sum."""
        self._sweep_largest(chunks)
        for chunk in chunks:
            self._load(chunk, None)
            self._exponentials(chunk)
            self._total(chunk)
            self.rows.store(self.y, chunk, self.places["e"])
        self._factors(chunks[0].rows)
        self._store_factors(chunks[0])

    def _total(self, chunk: Chunk) -> None:
        fields = {"op": int(isa.VectorOp.MOVE), "reduce": int(isa.ReduceOp.SUM), "scale": _IMM,
                  "mult1": UNIT}
        self.rows.accumulate(chunk, fields, isa.VectorOp.ADD, self._row("sum"), self._row("part"),
                             self._block_of("e", self.e_dtype, chunk))

    def _factors(self, rows: int) -> None:
        self._reciprocals(rows)

    def _results(self, chunk: Chunk) -> None:
        self.rows.store(self.y, chunk, self.places["e"])
        self._store_factors(chunk)

    def _store_factors(self, chunk: Chunk) -> None:
        for mults, place in zip(self.mults, self.factors, strict=True):
            self._factor(chunk.rows, mults[chunk.row * len(mults) // self.x.width])
            block = Block(0, 1, Rect(0, chunk.row, 1, chunk.rows))
            store_block(self.low, place, block, self.places["sum"])


def reference(op: Op, inputs: Sequence[Array]) -> Sequence[Array]:
    """x [..., N], and a mask that is added."""
    del op
    x = inputs[0] + inputs[1] if len(inputs) > 1 else inputs[0]
    e = np.exp(x - x.max(axis=-1, keepdims=True))
    return [e / e.sum(axis=-1, keepdims=True)]


def cases() -> Sequence[Case]:
    def hidden(*shape: int, share: float = 0.3) -> np.ndarray:
        random = np.random.default_rng(sum(shape))
        mask = random.random(shape) < share
        mask[..., 0] = False
        return np.where(mask, np.float32(-3e4), np.float32(0.0))

    causal = np.triu(np.full((1, 1, 9, 9), np.float32(-np.finfo(np.float32).max)), 1)
    wide: dict[str, Any] = {"input_dtype": "int16", "output_dtype": "uint8", "tolerance": 0.7}
    return [
        Case("rows", {"x": (1, 9, 21)}, tolerance=0.7),
        Case("unsigned", {"x": (5, 16)}, unsigned=True, tolerance=0.7, spread=3.0),
        Case("wide", {"x": (1, 7, 37)}, spread=3.0, **wide),
        Case("wide_results", {"x": (1, 7, 37)}, input_dtype="int16", output_dtype="int16",
             tolerance=200.0),
        Case("heads", {"x": (1, 3, 9, 21)}, mask=hidden(1, 1, 1, 21), **wide),
        Case("heads_rows", {"x": (1, 3, 9, 21)}, mask=hidden(1, 1, 9, 21), **wide),
        Case("every_row", {"x": (1, 3, 9, 21)}, mask=hidden(1, 3, 9, 21), **wide),
        Case("causal", {"x": (1, 2, 9, 9)}, mask=causal, **wide),
        Case("narrow_masked", {"x": (1, 2, 9, 9)}, mask=causal, tolerance=0.7),
        Case("long", {"x": (2, 1500)}, spread=2.0, **wide),
        Case("longest", {"x": (1, 32768)}, mask=hidden(1, 32768), spread=2.0, **wide),
        Case("one", {"x": (3, 1)}, tolerance=0.7),
        Case("clamped", {"x": (3, 21)}, relu=True, tolerance=0.7),
    ]


CODELET = Codelet("Softmax", parse, lower, reference, cases, view="last", masked=True,
                  writes=SIGNED)
