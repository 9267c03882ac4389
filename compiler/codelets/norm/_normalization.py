"""LayerNormalization and RMSNormalization over rows in VMEM: docs/nonlinear.md.

Blocks of whole rows where they fit. Longer rows stream through in chunks: for the mean, for the sum
of squares, for the results; d is computed again each time.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator

import numpy as np

from jacquard.compiler.codelets._narrow import narrow_of
from jacquard.compiler.codelets.elementwise._scaling import factors_to_multipliers, output_fields
from jacquard.compiler.codelets.norm._statistics import (
    IN_PARTS,
    INVERSE_ROOT,
    WHOLE,
    shifted,
    statistics,
)
from jacquard.compiler.codelets.norm._steps import Steps
from jacquard.compiler.graph.ir import Grid, Op
from jacquard.compiler.tile.ir import CONSTANT_ARG
from jacquard.compiler.tile.kept import Kept
from jacquard.compiler.tile.lowering import Lowering, dtype_of
from jacquard.compiler.tile.memory import NoRoom, Piece
from jacquard.compiler.tile.rows import BLOCK_VECTORS, Chunk, Places, Rows, Vectors, balanced, most
from jacquard.proto import npu_isa as isa
from jacquard.proto.lib.fixed_point import OFFSET_STEP, quantize_offset

LONG_ROWS = 2  # of a block whose rows come in chunks
OPERANDS = ("x0", "x1", "x2", "x3")  # take turns; at least two of them

_S32 = isa.Dtype.S32
_IMM = int(isa.ScaleMode.IMM)


def lower_normalization(op: Op, low: Lowering, centred: bool) -> None:
    """Leaves the layer to whoever needs its rows."""
    low.begin_layer(op, macs=0)
    layer = _Normalization(op, low, centred)
    low.produce(op.outputs, layer.run(), cycles_per_row(op, layer.rows.tiles, centred))


def cycles_per_row(op: Op, tiles: int, centred: bool) -> float:
    """Of VECTOR."""
    passes = 4 if centred else 2  # sum, centre, squares, factor; squares, factor
    passes += 1 + len(op.outputs) - 1
    once = 16.0  # the statistics, and a second read for those of two sources
    return passes * tiles + once


class _Normalization:
    """One layer; centred: the mean is taken out."""

    def __init__(self, op: Op, low: Lowering, centred: bool) -> None:
        self.low, self.centred = low, centred
        x, y = low.tensor(op.inputs[0]), low.tensor(op.outputs[0])
        self.source, self.results = x.name, op.outputs
        self.keeps: dict[str, Kept] = {}  # results that are to be in IBUF
        self.x, self.y = low.place(x.name).flat(), low.stored(y.name).flat()
        self.narrow = narrow_of(op, low)
        self.rows = Rows(low, self.x.channels)
        self.dtype, self.out_dtype, self.zero = dtype_of(x), dtype_of(y), x.grid.zero_point
        self.steps = Steps.of(self.x.channels, 8 * self.x.element_bytes, centred)
        self._affine(op, y.grid)
        self.places = Places(low)
        self.operands: tuple[str, ...] = OPERANDS
        self.operand = self.latest = OPERANDS[0]
        self.ahead: list[tuple[Chunk, str]] = []  # blocks that are loaded, and where
        epsilon = self.steps.epsilon(self.x.channels, x.grid.scale, op.attrs["epsilon"])
        self.statistics = statistics(low, self.rows, self.places, self.steps, epsilon, self.zero,
                                     self.x.element_bytes, centred)
        self._plan()

    def _affine(self, op: Op, y: Grid) -> None:
        """Gains as PARAM rows, offsets as int32 vectors, both in the constants."""
        gamma, beta = op.attrs["gamma"], op.attrs["beta"]
        factors = (np.abs(gamma) * self.steps.unit(gamma.size) / y.scale).tolist()
        mult, shift = factors_to_multipliers(op, factors + ([] if beta is None else [OFFSET_STEP]))
        gains = np.sign(gamma).astype(np.int64) * np.array(mult[: gamma.size], np.int64)
        self.gains = self.low.load_params(np.zeros(gamma.size, np.int64), gains.astype(np.int32))
        self.result = {**output_fields(op, y, shift), "scale": int(isa.ScaleMode.PER_LANE),
                       "op": int(isa.VectorOp.MOVE)}
        self.beta: int | None = None
        if beta is not None:
            offsets = np.zeros(self.rows.tiles * self.rows.lanes, np.int32)
            offsets[: beta.size] = quantize_offset(beta, y.scale)
            self.beta = self.low.constant(offsets)
            self.result |= {"op": int(isa.VectorOp.SADD), "mult2": mult[-1]}

    def _plan(self) -> None:
        """Rows of a block and tiles of a chunk. Operands of two whole blocks lie there at once."""
        count, tiles = self.x.width, self.rows.tiles

        def sizes(rows: int, chunk_tiles: int) -> dict[str, int]:
            operand = self.rows.bytes_of(self.dtype, chunk_tiles, rows)
            constant = self.rows.bytes_of(_S32, chunk_tiles, 1)
            return self._sizes(rows, chunk_tiles) | {"beta": constant, "x": 2 * operand}

        self.chunk_tiles, self.whole = tiles, True
        wanted = min(count, -(-BLOCK_VECTORS // tiles))
        self.block = most(self.low, wanted, lambda n: sizes(n, tiles))
        if not self.block:
            self.whole = False
            self.block = min(count, LONG_ROWS)
            self.chunk_tiles = most(self.low, tiles - 1, lambda n: sizes(self.block, n))
        self.block = balanced(count, self.block)
        self.chunk_tiles = balanced(tiles, self.chunk_tiles)
        # Gains lie in PARAM as long as the layer runs if they fit, else while they are needed.
        rows = self.low.arch.param_rows
        self.group = tiles if tiles <= rows else rows // 2

    def _sizes(self, rows: int, chunk_tiles: int) -> dict[str, int]:
        """Of what a block needs beside its operand."""
        of = self.rows.bytes_of
        sizes = {"d": of(_S32, chunk_tiles, rows), "y": of(self.out_dtype, chunk_tiles, rows)}
        if self.narrow is not None and self.narrow.stored:
            sizes["narrow"] = of(self.narrow.dtype, chunk_tiles, rows)
        if not self.whole:
            sizes["free"] = of(_S32, chunk_tiles, rows)
        names = WHOLE if self.whole else IN_PARTS
        return sizes | {name: of(_S32, 1, rows) for name in names}

    # --- blocks -----------------------------------------------------------------------------------

    def run(self) -> Iterator[int]:
        """Emits block after block; yields the rows whose stores are emitted. Between blocks only
        constants and operands stay in VMEM."""
        for name in self.results:
            if self.low.residents.wanted(name):
                self.keeps[name] = self.low.residents.take(name)
        params = None
        if self.group == self.rows.tiles:
            params = self._load_gains(0, self.group)
        if self.beta is not None:
            self.places.take({"beta": self.rows.bytes_of(_S32, self.chunk_tiles, 1)})
            if self.whole:
                self._load_beta(0, self.rows.tiles)
        self._take_operands()
        row = 0
        while row < self.x.width:
            block = self._make_room(self._next_block(row))
            self.low.table(INVERSE_ROOT)  # in good time, should something else have taken its place
            row += block.rows
            if self.whole:
                self._whole(block, params)
            else:
                self._long(self.rows.chunks(self.chunk_tiles, block.row, block.rows), params)
            self.places.free(*self._sizes(1, 1))
            yield row
        if params is not None:
            self.low.param.free(params)
        self.places.free()

    def _take_operands(self) -> None:
        """Room of its own for operands, so that they need not wait for stores."""
        size = self.rows.bytes_of(self.dtype, self.chunk_tiles, self.block)
        if len(OPERANDS) * size > self.low.arch.vmem_bytes // 4:
            self.operands = OPERANDS[:2]
        while True:
            size = self.rows.bytes_of(self.dtype, self.chunk_tiles, self.block)
            try:
                self.places.take(dict.fromkeys(self.operands, size))
                return
            except NoRoom:
                if self.block == 1:
                    raise
            self.block //= 2

    def _next_block(self, row: int) -> Chunk:
        """The block from `row`, its operand loaded if its rows are whole; then those behind it, as
        far as there is room. That starts early, so that it does not wait for stores. Rows that are
        still to be made come after this block."""
        if not self.whole:
            return self.rows.chunk(0, self.rows.tiles, row, min(self.block, self.x.width - row))
        if not self.ahead:
            self._load_block(row, self.block)
        block, self.operand = self.ahead.pop(0)
        end = (self.ahead or [(block, "")])[-1][0]
        following = end.row + end.rows
        while following < self.x.width and len(self.ahead) < len(self.operands) - 1:
            if not self.low.ready(self.source, min(following + self.block, self.x.width)):
                break
            following = self._load_block(following, self.block)
        return block

    def _load_block(self, row: int, rows: int) -> int:
        """Loads the rows from `row` to where it is their turn; returns the first behind them."""
        block = self.rows.chunk(0, self.rows.tiles, row, min(rows, self.x.width - row))
        self.ahead.append((block, self._load_rows(block)))
        return block.row + block.rows

    def _load_rows(self, chunk: Chunk) -> str:
        """Loads a chunk; returns where it is, the place behind the one before."""
        self.low.need(self.source, chunk.row + chunk.rows)
        turn = (self.operands.index(self.latest) + 1) % len(self.operands)
        self.latest = self.operands[turn]
        self.rows.load(self.x, chunk, self.places[self.latest])
        return self.latest

    def _make_room(self, block: Chunk) -> Chunk:
        """Takes what a block needs beside its operand; fewer rows where others hold much."""
        while True:
            try:
                self.places.take(self._sizes(block.rows, self.chunk_tiles))
                return block
            except NoRoom:
                if block.rows == 1:
                    raise
            self.ahead.clear()
            if self.whole:
                self._load_block(block.row, block.rows // 2)
                block, self.operand = self.ahead.pop()
            else:
                block = dataclasses.replace(block, rows=block.rows // 2)

    def _whole(self, block: Chunk, params: Piece | None) -> None:
        """A block of whole rows."""
        x = elements = self._operand(block)
        if self.centred:
            self._add(block, x)
            elements = self._centre(block, x)
        self.statistics.squares(block, elements)
        self.statistics.factors(block.rows)
        self._results(block, elements, params)

    def _long(self, chunks: list[Chunk], params: Piece | None) -> None:
        """A block of rows in chunks: three sweeps, two where no mean is taken."""
        if self.centred:
            for chunk in chunks:
                self._add(chunk, self._load(chunk))
        for chunk in chunks:
            self.statistics.squares_in_parts(chunk, self._elements(chunk),
                                             self._block_of("free", _S32, chunk))
        self.statistics.join(chunks[0].rows)
        self.statistics.factors(chunks[0].rows)
        for chunk in chunks:
            elements = self._elements(chunk)
            self._load_beta(chunk.first, chunk.tiles)
            self._results(chunk, elements, params)

    def _load(self, chunk: Chunk) -> Vectors:
        self.operand = self._load_rows(chunk)
        return self._operand(chunk)

    def _elements(self, chunk: Chunk) -> Vectors:
        """A chunk of the operand, or of d."""
        x = self._load(chunk)
        return self._centre(chunk, x) if self.centred else x

    # --- steps ------------------------------------------------------------------------------------

    def _block_of(self, name: str, dtype: isa.Dtype, chunk: Chunk) -> Vectors:
        return self.rows.block(self.places[name], dtype, chunk.rows)

    def _operand(self, chunk: Chunk) -> Vectors:
        return self._block_of(self.operand, self.dtype, chunk)

    def _row(self, name: str) -> Vectors:
        return self.rows.per_row(self.places[name], _S32)

    def _load_gains(self, first: int, tiles: int) -> Piece:
        piece = self.low.param.take(tiles)
        self.low.emit_param_load(self.gains, first, piece)
        return piece

    def _load_beta(self, first: int, tiles: int) -> None:
        if self.beta is not None:
            size = self.rows.bytes_of(_S32, 1, 1)
            self.low.emit(isa.Load(buffer=isa.Buffer.VMEM, arg=CONSTANT_ARG,
                                   dst=self.places["beta"], dram=self.beta + first * size,
                                   n0=tiles * size, n1=1, n2=1, n3=1))

    def _add(self, chunk: Chunk, x: Vectors) -> None:
        """Adds a chunk's elements to A, in "mean"."""
        fields = {"op": int(isa.VectorOp.MOVE), "imm1": -self.zero}
        self.rows.accumulate(chunk, fields, isa.VectorOp.ADD, self._row("mean"),
                             self._row("first"), x)

    def _centre(self, chunk: Chunk, x: Vectors) -> Vectors:
        """d: x N 2^up - A 2^up, with one SADD."""
        times = 1 << self.steps.up
        fields = {
            "op": int(isa.VectorOp.SADD), "imm1": -self.zero, "scale": _IMM,
            "mult1": self.x.channels * times, "mult2": -times, "shift": self.steps.down,
        }
        d = self._block_of("d", _S32, chunk)
        self.rows.each(chunk, fields, d, x, self._row("mean"))
        return d

    def _results(self, chunk: Chunk, elements: Vectors, params: Piece | None) -> None:
        """n = d F in the place of d, y = n g + b h, and the narrow result of it."""
        scale = shifted(-self.steps.r if self.centred else self.steps.b - self.steps.r)
        fields = {"op": int(isa.VectorOp.MUL), **scale, "imm1": self.statistics.offset}
        n, y = self._block_of("d", _S32, chunk), self._block_of("y", self.out_dtype, chunk)
        self.rows.each(chunk, fields, n, elements, self._row("root"))
        beta = None
        if self.beta is not None:
            beta = self.rows.per_tile(self.places["beta"], _S32)
        for first in range(chunk.first, chunk.end, self.group):
            part = self.rows.chunk(first, min(first + self.group, chunk.end), chunk.row, chunk.rows)
            at = first - chunk.first
            held = params or self._load_gains(first, part.tiles)
            param = held.base + (first if params is not None else 0)
            self.rows.each(part, {**self.result, "param": param}, y.from_tile(at), n.from_tile(at),
                           None if beta is None else beta.from_tile(at),
                           self._kept(self.results[0], self.out_dtype, part))
            if params is None:
                self.low.param.free(held)
        self.rows.store(self.y, chunk, self.places["y"])
        if self.narrow is None:
            return
        places = []
        if self.narrow.stored:
            places.append(self._block_of("narrow", self.narrow.dtype, chunk))
        kept = self._kept(self.narrow.name, self.narrow.dtype, chunk)
        if kept is not None:
            places.append(kept)
        self.rows.each(chunk, self.narrow.fields, places[0], y,
                       dst2=None if len(places) == 1 else places[1])
        if self.narrow.stored:
            self.rows.store(self.narrow.place, chunk, self.places["narrow"])

    def _kept(self, name: str, dtype: isa.Dtype, chunk: Chunk) -> Vectors | None:
        """Where in IBUF a chunk of a result is to be."""
        kept = self.keeps.get(name)
        if kept is None:
            return None
        return Vectors(kept.place(chunk.first, 0, chunk.row), dtype, kept.plane * kept.block,
                       kept.block, isa.Buffer.IBUF)
