"""Everything that runs on the systolic array, tiled and emitted: convolutions and products.

Loop nest, outermost first: spatial tile, group of output column tiles, chunk of the reduction,
output column tile. Inputs of a spatial tile stay in IBUF for all of its outputs where they fit, the
next tile's arrive in pieces meanwhile. VECTOR drains one half of OBUF while MATRIX fills the other.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from jacquard.compiler.tile.access import ELEMENT_BYTES
from jacquard.compiler.tile.lowering import Lowering, Stored
from jacquard.compiler.tile.memory import Piece
from jacquard.compiler.tile.operand import ActivationOperand, Rect, WeightOperand
from jacquard.compiler.tile.plan import FIRST_PARTS, Plan, Shape, choose
from jacquard.compiler.tile.pooled import Pool, Pooling
from jacquard.compiler.tile.table import TableStage
from jacquard.proto import npu_isa as isa


@dataclasses.dataclass(frozen=True)
class Requant:
    """The accumulators' way to 8 or 16 bits, in `dtype`; bias int64[M], mult int32[M].

    lookup: a plain table function of the 16-bit result in the same pass, stored as lookup_dtype.
    """

    bias: npt.NDArray[np.int64]
    mult: npt.NDArray[np.int32]
    shift: int
    zero_point: int
    lo: int
    hi: int
    dtype: isa.Dtype
    lookup: TableStage | None = None
    lookup_dtype: isa.Dtype = isa.Dtype.U8

    @property
    def stored_dtype(self) -> isa.Dtype:
        """Of what leaves the pass."""
        return self.dtype if self.lookup is None else self.lookup_dtype


@dataclasses.dataclass(frozen=True)
class Residual:
    """A second operand, added to the requantized result under one rounding of its own.

    mult_own scales the convolution's result (less its zero point), mult_other the operand.
    """

    place: Stored
    dtype: isa.Dtype
    other_zero: int
    mult_own: int
    mult_other: int
    shift: int
    zero_point: int
    lo: int
    hi: int
    out_dtype: isa.Dtype


@dataclasses.dataclass(frozen=True)
class RowFactors:
    """What each position's accumulators are multiplied by, instead of a number per channel.

    place: one channel tile of int32, all lanes of a position alike.
    """

    place: Stored


@dataclasses.dataclass(frozen=True)
class Contraction:
    """One layer on the array. `out` is where the result goes; its height x width are tiled.

    source: the activations' tensor, of which rows may still be to be made.
    With a pool `out` is only the shape of the convolution's result, which stays on chip. With
    factors `requant.bias` and `requant.mult` are not used.
    """

    name: str
    activation: ActivationOperand
    weight: WeightOperand
    out: Stored
    act_zero: int
    act_unsigned: bool
    weight_zero: int
    weight_unsigned: bool
    requant: Requant
    residual: Residual | None = None
    pool: Pool | None = None
    source: str = ""
    factors: RowFactors | None = None


@dataclasses.dataclass(frozen=True)
class _Item:
    """A group of output tiles over a chunk of the reduction in one spatial tile."""

    rect: Rect
    outputs: tuple[int, int]
    chunk: tuple[int, int]
    fetch: int
    first: bool  # chunk of its group: overwrites the accumulators
    last: bool


def emit(low: Lowering, problem: Contraction) -> None:
    """Tiles the problem and emits it. UserError if it cannot fit."""
    shape = Shape(
        height=problem.out.height,
        width=problem.out.width,
        output_tiles=problem.out.tiles,
        spans=tuple(problem.weight.span(o) for o in range(problem.out.tiles)),
        element_bytes=problem.out.element_bytes,
        own_bytes=ELEMENT_BYTES[problem.requant.stored_dtype],
        residual_bytes=0 if problem.residual is None else problem.residual.place.element_bytes,
        pool=problem.pool,
        arrival=low.arrival(problem.source),
        factor_bytes=0 if problem.factors is None else problem.factors.place.element_bytes,
    )
    override = low.overrides.get(problem.name)
    low.tiled.add(problem.name)
    plan = choose(low.arch, problem.name, problem.activation, shape, override)
    _Emission(low, problem, plan).run()


class _Emission:
    """State of one layer's emission."""

    def __init__(self, low: Lowering, problem: Contraction, plan: Plan) -> None:
        self.low, self.arch, self.problem, self.plan = low, low.arch, problem, plan
        self.items = list(self._items())
        self.fetches = self._fetches()
        self.fetched: dict[int, Piece] = {}
        self.weights: dict[tuple[int, int, int, int], Piece] = {}
        self.kept: Piece | None = None  # WBUF of the whole layer
        self.kept_next = 0
        requant = problem.requant
        self.params = -1
        if problem.factors is None:
            self.params = low.load_params(requant.bias, requant.mult)
        self.param_piece: Piece | None = None
        self.param_group = -1
        self.pooling = None if problem.pool is None else Pooling(
            low, problem.pool, problem.out.height, problem.out.tiles
        )
        self.obuf = 0
        self.making = False  # the next inputs are being made between this fetch's items

    # --- the loop nest as a list ------------------------------------------------------------------

    def _items(self) -> Iterator[_Item]:
        problem, plan = self.problem, self.plan
        out, tiles = problem.out, problem.out.tiles
        fetch = -1
        for y in range(0, out.height, plan.height):
            for x in range(0, out.width, plan.width):
                rect = Rect(y, x, min(plan.height, out.height - y), min(plan.width, out.width - x))
                if plan.keep_inputs:
                    fetch += 1
                for start in range(0, tiles, plan.output_tiles):
                    group = (start, min(start + plan.output_tiles, tiles))
                    if plan.keep_inputs:
                        chunks = [(0, problem.activation.tiles)]
                    else:
                        spans = [problem.weight.span(o) for o in range(*group)]
                        low, high = min(s[0] for s in spans), max(s[1] for s in spans)
                        step = plan.channel_tiles
                        chunks = [(c, min(c + step, high)) for c in range(low, high, step)]
                    for index, chunk in enumerate(chunks):
                        if not plan.keep_inputs:
                            fetch += 1
                        yield _Item(
                            rect, group, chunk, fetch, index == 0, index == len(chunks) - 1
                        )

    def _fetches(self) -> list[tuple[Rect, tuple[int, int], int, int]]:
        """(rectangle, channel tiles, first item, end item) of each fetch."""
        found: list[tuple[Rect, tuple[int, int], int, int]] = []
        for index, item in enumerate(self.items):
            if item.fetch == len(found):
                found.append((item.rect, item.chunk, index, index + 1))
            else:
                rect, chunk, first, _ = found[-1]
                found[-1] = (rect, chunk, first, index + 1)
        return found

    # --- emission ---------------------------------------------------------------------------------

    def run(self) -> None:
        for index, item in enumerate(self.items):
            group = self._load_params(item)
            if item.first:
                self.obuf = self.low.take_obuf_half()
            start = item.outputs[0]
            if item.fetch not in self.fetched:
                self._first_fetch(item)
                start += 1
            else:
                self._weights_ahead(item, start)
            residual = self._load_residual(item) if item.last else None
            factors = self._load_factors(item) if item.last else None
            first, end = self.fetches[item.fetch][2:]
            if item.fetch + 1 < len(self.fetches):
                self._prefetch(item.fetch + 1, index - first, end - first)
            for output in range(start, item.outputs[1]):
                for chunk in self._weight_chunks(item, output):
                    self._multiply(item, output, chunk)
            if item.last:
                self._drain(item, group, residual, factors)
            if index == end - 1:
                self.low.ibuf.free(self.fetched[item.fetch])
        if self.kept is not None:
            self.low.wbuf.free(self.kept)
        if self.param_piece is not None:
            self.low.param.free(self.param_piece)
        if self.pooling is not None:
            self.pooling.free()

    def _first_fetch(self, item: _Item) -> None:
        """The layer's first inputs, piece by piece: each with the products of the first output tile
        that it allows, so that MATRIX starts on the first piece."""
        rect, (first, end), _, _ = self.fetches[item.fetch]
        activation, low, output = self.problem.activation, self.low, item.outputs[0]
        rows = activation.rows(rect.height, rect.width)
        base = low.ibuf.take(rows * (end - first))
        self.fetched[item.fetch] = base
        chunks = list(self._weight_chunks(item, output))
        at = first
        for chunk in chunks:
            self._weight(output, chunk)
            self._need(rect)
            until = chunk[1] if activation.splittable and chunk is not chunks[-1] else end
            if until > at:
                low.emit(activation.load(rect, at, until - at, base.base + (at - first) * rows))
                at = until
            self._multiply(item, output, chunk)
        if at < end:
            low.emit(activation.load(rect, at, end - at, base.base + (at - first) * rows))

    def _prefetch(self, fetch: int, part: int, parts: int) -> None:
        """A part of the next inputs, between the products of this fetch's `parts` items.

        Rows that are still to be made are made evenly over the first items, so that neither LOAD nor
        VECTOR is kept from these products, and fetched between the last ones.
        """
        source, rect = self.problem.source, self.fetches[fetch][0]
        if source not in self.low.streams() and not self.making:
            self._fetch(fetch, part, parts)
            return
        self.making = True
        making = max(1, parts * 3 // 4)
        share = min(1.0, (part + 1) / making)
        self.low.need(source, rect.x + round(rect.width * share))
        if part + 1 >= making:
            self._fetch(fetch, part + 1 - making, parts + 1 - making)
            self.making = part + 1 < parts

    def _need(self, rect: Rect) -> None:
        """All rows of a rectangle that are made one after another."""
        if self.problem.source in self.low.streams():
            assert self.problem.out.height == 1
            self.low.need(self.problem.source, rect.x + rect.width)

    def _fetch(self, fetch: int, part: int, parts: int) -> None:
        """Emits part `part` of `parts` of a fetch: a range of its channel tiles."""
        rect, chunk, _, _ = self.fetches[fetch]
        activation = self.problem.activation
        count = chunk[1] - chunk[0]
        rows = activation.rows(rect.height, rect.width)
        self._need(rect)
        if fetch not in self.fetched:
            self.fetched[fetch] = self.low.ibuf.take(rows * count)
        if not activation.splittable:
            if part == 0:
                self.low.emit(activation.load(rect, chunk[0], count, self.fetched[fetch].base))
            return
        # As few loads as keep pieces of at least a few KiB.
        parts = min(parts, max(1, rows * count * self.arch.rows // 4096), count)
        if part >= parts:
            return
        first, end = count * part // parts, count * (part + 1) // parts
        base = self.fetched[fetch].base + first * rows
        self.low.emit(activation.load(rect, chunk[0] + first, end - first, base))

    def _load_params(self, item: _Item) -> int:
        """Makes the group's parameter rows resident; returns the PARAM row of its first tile."""
        if self.problem.factors is not None:
            return 0
        per_load = self.plan.param_tiles
        group = item.outputs[0] // per_load
        if group != self.param_group:
            if self.param_piece is not None:
                self.low.param.free(self.param_piece)
            first = group * per_load
            rows = min(per_load, self.problem.out.tiles - first)
            self.param_piece = self.low.param.take(rows)
            self.param_group = group
            self.low.emit_param_load(self.params, first, self.param_piece)
        assert self.param_piece is not None
        return self.param_piece.base + item.outputs[0] - group * per_load

    def _weight_chunks(self, item: _Item, output: int) -> Iterator[tuple[int, int, int, int]]:
        """(first tile, end tile, first kernel row, end kernel row) of each MATRIX instruction."""
        first, end = self.problem.weight.span(output)
        first, end = max(first, item.chunk[0]), min(end, item.chunk[1])
        taps = self.problem.activation.taps_y
        if self.plan.weight_rows < taps:
            for c in range(first, end):
                for ky in range(0, taps, self.plan.weight_rows):
                    yield c, c + 1, ky, min(ky + self.plan.weight_rows, taps)
        else:
            step = self.plan.weight_tiles
            if output == 0 and self.plan.keep_inputs and self.problem.activation.splittable:
                step = min(step, -(-(end - first) // FIRST_PARTS))
            for c in range(first, end, step):
                yield c, min(c + step, end), 0, taps

    def _weight(self, output: int, chunk: tuple[int, int, int, int]) -> Piece:
        """The chunk's place in WBUF, loaded now unless it is there."""
        first, end, ky, ky_end = chunk
        key = (output, first, ky, end)
        if key not in self.weights:
            tiles = (end - first) * (ky_end - ky) * self.problem.activation.taps_x
            piece = self.weights[key] = self._take_weights(tiles * self.arch.rows)
            base = piece.base * self.arch.wbuf_row_bytes
            self.low.emit(self.problem.weight.load(output, first, end, ky, ky_end, base))
        return self.weights[key]

    def _weights_ahead(self, item: _Item, start: int) -> None:
        """Weights in front of the next fetch, which may wait for the inputs before these.

        Where a fetch serves one item, that is all of the item's weights, within a quarter of WBUF.
        """
        chunks = [(o, c) for o in range(start, item.outputs[1])
                  for c in self._weight_chunks(item, o)]
        first = 1
        if not self.plan.keep_inputs and self.problem.activation.taps_y == 1:
            rows = sum(c[1] - c[0] for _, c in chunks) * self.problem.activation.taps_x
            if rows * self.arch.rows <= self.arch.wbuf_rows // 4:
                first = len(chunks)
        for output, chunk in chunks[:first]:
            self._weight(output, chunk)

    def _take_weights(self, rows: int) -> Piece:
        """WBUF rows: one after another in the layer's own piece where weights are kept."""
        if not self.plan.keep_weights:
            return self.low.wbuf.take(rows)
        if self.kept is None:
            self.kept = self.low.wbuf.take(self.plan.weight_bytes // self.arch.wbuf_row_bytes)
            self.kept_next = self.kept.base
        piece = Piece(self.kept_next, rows)
        self.kept_next = piece.end
        return piece

    def _load_residual(self, item: _Item) -> Piece | None:
        residual = self.problem.residual
        if residual is None:
            return None
        count = item.outputs[1] - item.outputs[0]
        piece = self.low.vmem.take(count * item.rect.positions * residual.place.position_bytes)
        fields = _rect_fields(residual.place, item.rect, item.outputs)
        self.low.emit(isa.Load(buffer=isa.Buffer.VMEM, arg=residual.place.arg, dst=piece.base,
                               **_as_load(fields)))
        return piece

    def _load_factors(self, item: _Item) -> Piece | None:
        """[position][lane] int32."""
        if self.problem.factors is None:
            return None
        place = self.problem.factors.place
        piece = self.low.vmem.take(item.rect.positions * place.position_bytes)
        fields = _rect_fields(place, item.rect, (0, 1))
        self.low.emit(isa.Load(buffer=isa.Buffer.VMEM, arg=place.arg, dst=piece.base,
                               **_as_load(fields)))
        return piece

    def _multiply(self, item: _Item, output: int, chunk: tuple[int, int, int, int]) -> None:
        """One MATRIX instruction: an output tile over a chunk of weights."""
        problem, rect = self.problem, item.rect
        activation = problem.activation
        first, end, ky, ky_end = chunk
        s_x, s_y, s_kx, s_ky, s_c = activation.strides(rect.height, rect.width)
        skipped = first - self.fetches[item.fetch][1][0]
        piece = self._weight(output, chunk)
        self.low.emit(
            isa.Matrix(
                ibuf=self.fetched[item.fetch].base + skipped * s_c + ky * s_ky,
                wbuf=piece.base,
                obuf=self.obuf + (output - item.outputs[0]) * rect.positions,
                accumulate=int((first, ky) != (problem.weight.span(output)[0], 0)),
                act_unsigned=int(problem.act_unsigned),
                weight_unsigned=int(problem.weight_unsigned),
                act_zero=problem.act_zero, weight_zero=problem.weight_zero,
                n_x=rect.width, n_y=rect.height, n_kx=activation.taps_x,
                n_ky=ky_end - ky, n_c=end - first,
                s_x=s_x, s_y=s_y, s_kx=s_kx, s_ky=s_ky, s_c=s_c,
            )
        )
        if not self.plan.keep_weights:
            self.low.wbuf.free(piece)
            del self.weights[(output, first, ky, end)]

    def _drain(
        self, item: _Item, param: int, residual: Piece | None, factors: Piece | None
    ) -> None:
        """Requantizes a finished group, adds the residual, stores it."""
        problem, arch, low = self.problem, self.arch, self.low
        requant, positions = problem.requant, item.rect.positions
        count = item.outputs[1] - item.outputs[0]
        own = ELEMENT_BYTES[requant.stored_dtype] * arch.lanes  # bytes of a vector
        requantize = {
            "op": int(isa.VectorOp.MOVE), "scale": int(isa.ScaleMode.PER_LANE),
            "shift": requant.shift, "zero_point": requant.zero_point, "clamp": 1,
            "lo": requant.lo, "hi": requant.hi, "param": param, "param_stride1": 0,
            "src1_buffer": int(isa.Buffer.OBUF), "src1_dtype": int(isa.Dtype.S32),
            "src1_base": self.obuf * arch.obuf_row_bytes, "src1_stride0": arch.obuf_row_bytes,
            "src1_stride1": item.rect.width * arch.obuf_row_bytes,
        }
        if self.pooling is not None:
            self.pooling.drain(item.rect, item.outputs[0], requantize, requant.dtype)
            return
        requantize |= {"param_stride1": 1, "src1_stride1": positions * arch.obuf_row_bytes}
        if factors is not None:
            assert problem.factors is not None
            requantize = {n: v for n, v in requantize.items() if not n.startswith("param")} | {
                "op": int(isa.VectorOp.MUL), "scale": int(isa.ScaleMode.IMM), "mult1": 1,
                "src2_buffer": int(isa.Buffer.VMEM), "src2_dtype": int(isa.Dtype.S32),
                "src2_base": factors.base, "src2_stride0": problem.factors.place.position_bytes,
            }
        if requant.lookup is not None:
            requantize |= {"table": 1, "table_index": low.table(requant.lookup.table),
                           "table_shift": requant.lookup.table_shift}
        piece = low.vmem.take(count * positions * own)
        low.emit(
            isa.Vector(
                **requantize, n0=positions, n1=count, n2=1, n3=1,
                dst_buffer=isa.Buffer.VMEM, dst_dtype=requant.stored_dtype, dst_base=piece.base,
                dst_stride0=own, dst_stride1=positions * own,
            )
        )
        if factors is not None:
            low.vmem.free(factors)
        if residual is not None:
            assert problem.residual is not None
            other, total = problem.residual, count * positions
            size = problem.out.position_bytes
            result = piece if size == own else low.vmem.take(total * size)
            low.emit(
                isa.Vector(
                    op=isa.VectorOp.SADD, scale=isa.ScaleMode.IMM, shift=other.shift,
                    zero_point=other.zero_point, clamp=1, lo=other.lo, hi=other.hi,
                    n0=total, n1=1, n2=1, n3=1,
                    imm1=-requant.zero_point, mult1=other.mult_own,
                    imm2=-other.other_zero, mult2=other.mult_other,
                    dst_buffer=isa.Buffer.VMEM, dst_dtype=other.out_dtype, dst_base=result.base,
                    dst_stride0=size,
                    src1_buffer=isa.Buffer.VMEM, src1_dtype=requant.stored_dtype,
                    src1_base=piece.base, src1_stride0=own,
                    src2_buffer=isa.Buffer.VMEM, src2_dtype=other.dtype, src2_base=residual.base,
                    src2_stride0=other.place.position_bytes,
                )
            )
            low.vmem.free(residual)
            if result is not piece:
                low.vmem.free(piece)
                piece = result
        fields = _rect_fields(problem.out, item.rect, item.outputs)
        low.emit(isa.Store(buffer=isa.Buffer.VMEM, arg=problem.out.arg, src=piece.base, **fields))
        low.vmem.free(piece)


def _rect_fields(place: Stored, rect: Rect, tiles: tuple[int, int]) -> dict[str, int]:
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


def _as_load(fields: dict[str, int]) -> dict[str, int]:
    """The same copy in LOAD's field names."""
    return {name.replace("l", "d") if name in ("l1", "l2") else name: v
            for name, v in fields.items()}
