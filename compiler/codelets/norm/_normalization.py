"""LayerNormalization and RMSNormalization over rows in VMEM: docs/nonlinear.md.

Everything between the sum of squares and the factor F is once per row. The sum of squares needs 64
bits, so it is one instruction, over a whole row in VMEM: of the differences to the mean (int32), or
of the operand itself where no mean is taken. What else is long comes in chunks.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator

import numpy as np

from jacquard.compiler.codelets._narrow import narrow_of
from jacquard.compiler.codelets.base import Node, Parsed
from jacquard.compiler.codelets.elementwise._scaling import factors_to_multipliers, output_fields
from jacquard.compiler.graph.ir import Grid, Op
from jacquard.compiler.tile.ir import CONSTANT_ARG
from jacquard.compiler.tile.lowering import Lowering, dtype_of
from jacquard.compiler.tile.memory import NoRoom, Piece
from jacquard.compiler.tile.rows import Chunk, Places, Rows, Vectors, balanced, most
from jacquard.compiler.tile.table import WIDE_BITS, interpolated
from jacquard.proto import npu_isa as isa
from jacquard.proto.lib.errors import UserError
from jacquard.proto.lib.fixed_point import OFFSET_STEP, Float64Array, quantize_offset

LONGEST_ROW = 32768
LARGEST_EPSILON = 2**27
BLOCK_VECTORS = 192  # of a block that needs to be no larger: enough to hide loads and latencies

INVERSE_ROOT = interpolated(
    lambda t: 32768.0 / np.sqrt(np.maximum(t + 32768.0, 16384.0) / 16384.0), 0, 32767, WIDE_BITS
).table

_S16, _S32 = isa.Dtype.S16, isa.Dtype.S32
_IMM = int(isa.ScaleMode.IMM)
OPERANDS = ("x0", "x1")  # take turns
STATISTICS = ("sum", "weight", "root", "first", "square")  # of a row, reused as it goes on


def parse_normalization(node: Node, centred: bool) -> Parsed:
    """X [..., N], scale [N], B [N]."""
    x = node.activation(0)
    rank, n = len(x.shape), x.shape[-1]
    axis = int(node.get("axis", -1)) % rank
    gamma = _gains(node, 1)
    gamma = np.ones(n) if gamma is None else gamma
    beta = _gains(node, 2)
    if axis != rank - 1 or any(g is not None and g.size not in (1, n) for g in (gamma, beta)):
        raise UserError(
            f"{node.place}: must run over the last axis with one gain per element, got axis {axis} "
            f"of {rank} and gains of shape {gamma.shape}; reshape the operand"
        )
    if node.output_count > 1:
        raise UserError(
            f"{node.place}: must have one output, got {node.output_count}; drop the mean and "
            "deviation"
        )
    grid = x.grid
    if grid.dtype in ("int16", "uint16") and _offset(grid):
        raise UserError(
            f"{node.place}: a 16-bit operand must have its zero point in the middle of its type, "
            f"got {_offset(grid)} beside it; quantize the operand symmetrically"
        )
    if grid.dtype == "int32" or not 1 <= n <= LONGEST_ROW:
        raise UserError(
            f"{node.place}: must read rows of 1 to {LONGEST_ROW} elements of 8 or 16 bits, got {n} "
            f"of {grid.dtype}; quantize the operand to 16 bits"
        )
    if not all(np.isfinite(g).all() for g in (gamma, beta) if g is not None):
        raise UserError(f"{node.place}: gains must be finite, got inf or NaN; mend the weights")
    epsilon = float(np.float32(node.get("epsilon", 1e-5)))
    steps = Steps.of(n, 16 if grid.dtype.endswith("16") else 8, centred)
    if steps.epsilon(n, grid.scale, epsilon) > LARGEST_EPSILON:
        raise UserError(
            f"{node.place}: epsilon must be below the variance of a full row, got {epsilon:g} at "
            f"scale {grid.scale:g}; recalibrate the operand"
        )
    attrs = {
        "epsilon": epsilon, "gamma": np.broadcast_to(gamma.reshape(-1), (n,)),
        "beta": None if beta is None else np.broadcast_to(beta.reshape(-1), (n,)),
    }
    return Parsed((x,), attrs, (x.shape,))


def _gains(node: Node, index: int) -> Float64Array | None:
    given = node.constant(index)
    return None if given is None else np.asarray(given, np.float32).astype(np.float64)


def _offset(grid: Grid) -> int:
    """The zero point less the middle of the type."""
    return grid.zero_point - (grid.lo + grid.hi + 1) // 2


@dataclasses.dataclass(frozen=True)
class Steps:
    """How rows of one length are scaled: a, b, k and, for d, `up` and `down` of the page."""

    a: float
    b: int
    k: int
    up: int
    down: int

    @staticmethod
    def of(n: int, bits: int, centred: bool) -> Steps:
        if not centred:
            b = 8 if bits == 16 else 15
            return Steps(2.0**b, b, 15 + (n + n // 8).bit_length(), b, 0)
        b, length, cube = 24 - bits, n.bit_length() - 1, n**3
        k = 15 - 2 * length + (cube + cube // 8).bit_length()
        return Steps(n * 2.0 ** (b - length), b, k, max(b - length, 0), max(length - b, 0))

    @property
    def r(self) -> int:
        return self.k // 2 + 5

    def epsilon(self, n: int, scale: float, epsilon: float) -> int:
        """eps'."""
        real = epsilon * n * (self.a / scale) ** 2 / 2.0**self.k
        return max(int(np.rint(real)), 1)

    def unit(self, n: int) -> float:
        """u: the real value of a step of n_j."""
        return 2.0 ** (self.r - 31) * math.sqrt(n / 2.0**self.k)


def _shifted(left: int) -> dict[str, int]:
    """Scale fields for `x * 2**left`, rounded where left < 0."""
    return {"scale": _IMM, "mult1": 1 << max(left, 0), "shift": max(-left, 0)}


def lower_normalization(op: Op, low: Lowering, centred: bool) -> None:
    """Emits the layer. UserError where a row does not fit VMEM."""
    low.begin_layer(op, macs=0)
    layer = _Normalization(op, low, centred)
    low.produce(op, layer.run(), layer.cycles_per_row)


class _Normalization:
    def __init__(self, op: Op, low: Lowering, centred: bool) -> None:
        self.op, self.low, self.centred = op, low, centred
        x, y = low.tensor(op.inputs[0]), low.tensor(op.outputs[0])
        if y.grid.dtype == "uint16":  # VECTOR's zero point and clamp are int16
            raise UserError(
                f"node {op.name} ({op.kind}): its result must be int8, uint8 or int16, got uint16; "
                "requantize to int16"
            )
        self.x, self.y = low.stored(x.name).flat(), low.stored(y.name).flat()
        self.narrow = narrow_of(op, low)
        self.rows = Rows(low, self.x.channels)
        self.dtype, self.out_dtype, self.zero = dtype_of(x), dtype_of(y), x.grid.zero_point
        n, scale = self.x.channels, x.grid.scale
        self.steps = Steps.of(n, 8 * self.x.element_bytes, centred)
        self.epsilon = self.steps.epsilon(n, scale, op.attrs["epsilon"])
        self._affine(op, y.grid)
        self.places, self.operand = Places(low), OPERANDS[0]
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
            operand = self._operand_bytes(rows, chunk_tiles)
            constant = {"beta": self.rows.bytes_of(_S32, chunk_tiles, 1)}
            times = 2 if chunk_tiles == tiles else 1
            return self._sizes(rows, chunk_tiles) | constant | {"x": times * operand}

        wanted = min(count, -(-BLOCK_VECTORS // tiles))
        self.chunk_tiles = tiles
        self.block = most(self.low, wanted, lambda n: sizes(n, tiles))
        if not self.block:
            self.block = 1
            self.chunk_tiles = most(self.low, tiles, lambda n: sizes(1, n))
            if not self.chunk_tiles:
                raise UserError(
                    f"node {self.op.name} ({self.op.kind}): a row's integers must fit VMEM "
                    f"({self.low.arch.vmem_bytes} bytes), got a row of {self.x.channels}; use a "
                    "larger configuration"
                )
        self.block = balanced(count, self.block)
        self.chunk_tiles = balanced(tiles, self.chunk_tiles)
        self.whole = self.chunk_tiles == tiles
        rows = self.low.arch.param_rows
        self.group = tiles if tiles <= rows else rows // 2

    def _operand_bytes(self, rows: int, chunk_tiles: int) -> int:
        tiles = chunk_tiles if self.centred else self.rows.tiles
        return self.rows.bytes_of(self.dtype, tiles, rows)

    def _sizes(self, rows: int, chunk_tiles: int) -> dict[str, int]:
        """Of what a block needs beside its operand."""
        of = self.rows.bytes_of
        sizes = {
            "d": of(_S32, self.rows.tiles if self.centred else chunk_tiles, rows),
            "y": of(self.out_dtype, chunk_tiles, rows),
        }
        if self.narrow is not None:
            sizes["narrow"] = of(self.narrow.dtype, chunk_tiles, rows)
        return sizes | {name: of(_S32, 1, rows) for name in STATISTICS}

    # --- blocks -----------------------------------------------------------------------------------

    def run(self) -> Iterator[int]:
        """Emits block after block; yields the rows whose stores are emitted. Between blocks only
        constants and operands stay in VMEM."""
        params = None
        if self.group == self.rows.tiles:
            params = self._load_gains(0, self.group)
        if self.beta is not None:
            self.places.take({"beta": self.rows.bytes_of(_S32, self.chunk_tiles, 1)})
            if self.whole:
                self._load_beta(0, self.rows.tiles)
        self._take_operands()
        following: Chunk | None = None
        row = 0
        while row < self.x.width:
            block = self._make_room(following or self._load_operand(row))
            self.low.table(INVERSE_ROOT)  # in good time, should something else have taken its place
            row += block.rows
            following = self._block(block, row, params)
            self.places.free(*self._sizes(1, 1))
            yield row
        if params is not None:
            self.low.param.free(params)
        self.places.free()

    def _take_operands(self) -> None:
        """Room of its own for operands, so that they need not wait for stores."""
        while True:
            size = self._operand_bytes(self.block, self.chunk_tiles)
            try:
                self.places.take({name: size for name in OPERANDS[: 2 if self.whole else 1]})
                return
            except NoRoom:
                if self.block == 1:
                    raise
            self.block //= 2

    @property
    def cycles_per_row(self) -> float:
        """Of VECTOR: a pass takes two cycles a vector where both its sources lie in VMEM."""
        passes = 7 if self.centred else 4  # sum, centre, squares, factor; squares, factor
        passes += 1 if self.beta is None else 2
        passes += 0 if self.narrow is None else 1
        once = 13.0  # the statistics
        return passes * self.rows.tiles + once

    def _load_operand(self, row: int, most_rows: int | None = None) -> Chunk:
        """The block from `row`; its operand is loaded if it does not come in chunks."""
        rows = min(most_rows or self.block, self.x.width - row)
        block = self.rows.chunk(0, self.rows.tiles, row, rows)
        if self.whole or not self.centred:
            self.rows.load(self.x, block, self.places[self.operand])
        return block

    def _make_room(self, block: Chunk) -> Chunk:
        """Takes what a block needs beside its operand; fewer rows where others hold much."""
        while True:
            try:
                self.places.take(self._sizes(block.rows, self.chunk_tiles))
                return block
            except NoRoom:
                if block.rows == 1:
                    raise
            block = self._load_operand(block.row, block.rows // 2)

    def _block(self, block: Chunk, end: int, params: Piece | None) -> Chunk | None:
        """One block; returns the next one if it is being loaded. That starts early, so that it does
        not wait for stores: VECTOR's reads leave them no port."""
        chunks = self.rows.chunks(self.chunk_tiles, block.row, block.rows)
        x, following = self._operand(block), None
        if self.whole and end < self.x.width:
            self.operand = OPERANDS[1 - OPERANDS.index(self.operand)]
            following = self._load_operand(end)
        if self.centred:
            self._centre(block, chunks, x)
        self._factors(block, x)
        if self.centred:
            self._scale(block, self._block_of("d", _S32, block))
        for chunk in chunks:
            if not self.centred:
                self._scale(chunk, x.from_tile(chunk.first))
            self._results(chunk, params)
        return following

    def _operand(self, block: Chunk) -> Vectors:
        return self._block_of(self.operand, self.dtype, block)

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

    # --- steps ------------------------------------------------------------------------------------

    def _block_of(self, name: str, dtype: isa.Dtype, chunk: Chunk) -> Vectors:
        return self.rows.block(self.places[name], dtype, chunk.rows)

    def _row(self, name: str, dtype: isa.Dtype = _S32) -> Vectors:
        return self.rows.per_row(self.places[name], dtype)

    def _centre(self, block: Chunk, chunks: list[Chunk], x: Vectors) -> None:
        """A, then d in its place: x N 2^up - A 2^up, with one SADD."""
        d = self._block_of("d", _S32, block)
        add = {"op": int(isa.VectorOp.MOVE), "imm1": -self.zero}
        for chunk in chunks:
            if not self.whole:
                self.rows.load(self.x, chunk, x.base)
            self.rows.accumulate(chunk, add, isa.VectorOp.ADD, self._row("sum"),
                                 self._row("first"), x)
        times = 1 << self.steps.up
        fields = {
            "op": int(isa.VectorOp.SADD), "imm1": -self.zero, "scale": _IMM,
            "mult1": self.x.channels * times, "mult2": -times, "shift": self.steps.down,
        }
        for chunk in chunks:
            if not self.whole:
                self.rows.load(self.x, chunk, x.base)
            self.rows.each(chunk, fields, d.from_tile(chunk.first), x, self._row("sum"))

    def _factors(self, block: Chunk, x: Vectors) -> None:
        """F of each row in "root", from the sum of its squares."""
        steps, row, once = self.steps, self._row, self.rows.once
        square = {"op": int(isa.VectorOp.MUL), "reduce": int(isa.ReduceOp.SUM)}
        if self.centred:
            squared, shift = self._block_of("d", _S32, block), -steps.k
        else:  # d = x 2^b is never stored
            squared, shift = x, 2 * steps.b - steps.k
            square |= {"imm1": -self.zero, "imm2": -self.zero}
        self.rows.reduce(block, square | _shifted(shift), row("sum"), squared, squared)
        rows, variance = block.rows, row("sum")
        weight, root, first, product = row("weight"), row("root"), row("first", _S16), row("square")
        look_up = {"zero_point": -32768, "table": 1, "table_shift": 8,
                   "table_index": self.low.table(INVERSE_ROOT)}
        read = {"imm1": self.epsilon}
        multiply = {"op": int(isa.VectorOp.MUL)}
        once(rows, {"op": int(isa.VectorOp.NORM), **read, **_shifted(-14), **look_up},
             first, variance)
        once(rows, {"op": int(isa.VectorOp.NORM), **read}, root, variance)
        once(rows, {"op": int(isa.VectorOp.EXPONENT), **read, "scale": _IMM, "mult1": -1,
                    "shift": 1, "zero_point": 15}, weight, variance)
        once(rows, multiply, product, first, first)
        once(rows, {"op": int(isa.VectorOp.SHL), "imm1": 1}, weight, None, weight)
        once(rows, multiply | _shifted(-29), root, root, product)
        once(rows, {**multiply, "imm1": -3 * 2**29, "scale": _IMM, "mult1": -1, "shift": 14},
             root, root, first)
        once(rows, multiply | _shifted(-15), root, root, weight)

    def _scale(self, chunk: Chunk, source: Vectors) -> None:
        """n = d F, in the place of d."""
        fields = {"op": int(isa.VectorOp.MUL)}
        if self.centred:
            fields |= _shifted(-self.steps.r)
        else:
            fields |= _shifted(self.steps.b - self.steps.r) | {"imm1": -self.zero}
        self.rows.each(chunk, fields, self._block_of("d", _S32, chunk), source, self._row("root"))

    def _results(self, chunk: Chunk, params: Piece | None) -> None:
        """y = n g + b h, and the narrow result of it."""
        if not self.whole:
            self._load_beta(chunk.first, chunk.tiles)
        n, y = self._block_of("d", _S32, chunk), self._block_of("y", self.out_dtype, chunk)
        if self.centred:
            n = n.from_tile(chunk.first)
        beta = None
        if self.beta is not None:
            beta = self.rows.per_tile(self.places["beta"], _S32)
        for first in range(chunk.first, chunk.end, self.group):
            part = self.rows.chunk(first, min(first + self.group, chunk.end), chunk.row, chunk.rows)
            at = first - chunk.first
            held = params or self._load_gains(first, part.tiles)
            param = held.base + (first if params is not None else 0)
            self.rows.each(part, {**self.result, "param": param}, y.from_tile(at), n.from_tile(at),
                           None if beta is None else beta.from_tile(at))
            if params is None:
                self.low.param.free(held)
        self.rows.store(self.y, chunk, self.places["y"])
        if self.narrow is not None:
            narrow = self._block_of("narrow", self.narrow.dtype, chunk)
            self.rows.each(chunk, self.narrow.fields, narrow, y)
            self.rows.store(self.narrow.place, chunk, self.places["narrow"])
