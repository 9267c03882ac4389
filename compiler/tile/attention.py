"""Scaled dot-product attention: every head on chip from its projections to its context.

A unit is a block of query rows of one head. MATRIX makes its logits with the keys as transposed tiles;
VECTOR requantizes them into VMEM and leaves 8-bit exponentials, the weights, in IBUF, from where MATRIX
multiplies them with the values; each row's sum divides while the products are requantized. The units run
as a pipeline: while VECTOR has the weights of one, MATRIX has the context of the one before and the
logits of the next. The sequence is docs/nonlinear.md's, "Softmax in front of a product". A mask per key is
a bias of the exponent, in PARAM; one per query and key is taken into the maxima and puts the weights that
it hides to zero, in a pass of its own.
"""

from __future__ import annotations

import dataclasses

import numpy as np
import numpy.typing as npt

from jacquard.compiler.tile.access import ELEMENT_BYTES
from jacquard.compiler.tile.ir import CONSTANT_ARG
from jacquard.compiler.tile.lowering import Lowering, Stored
from jacquard.compiler.tile.memory import Piece
from jacquard.compiler.tile.rows import balanced
from jacquard.proto import npu_isa as isa
from jacquard.proto.lib.arch import Arch

VMEM, IBUF, WBUF = isa.Buffer.VMEM, isa.Buffer.IBUF, isa.Buffer.WBUF
LOGIT_BYTES = 2  # the weights take their place
# Per lane of a row: maximum, later 1 / sum; sum, later factor, of this unit and the one before; exponent.
STAT_BYTES = 2 + 2 * 4 + 1


@dataclasses.dataclass(frozen=True)
class Requantize:
    """Accumulators or sums to a grid: one multiplier for all lanes."""

    mult: int
    shift: int
    zero_point: int
    lo: int
    hi: int
    dtype: isa.Dtype

    @property
    def fields(self) -> dict[str, int]:
        """VECTOR's, destination not included."""
        return {"scale": int(isa.ScaleMode.IMM), "mult1": self.mult, "shift": self.shift,
                "zero_point": self.zero_point, "clamp": 1, "lo": self.lo, "hi": self.hi}


@dataclasses.dataclass(frozen=True)
class WeightTables:
    """The constants of a softmax in front of a product (docs/nonlinear.md).

    Attributes:
      exponential, reciprocal: int16[256, 2] tables; exponential_shift: the first one's.
      mult, shift: m and sh of the exponent.
      unit: of a weight in the sums.
      factor_mults: c of F, one for all heads or one each.
    """

    exponential: npt.NDArray[np.int16]
    exponential_shift: int
    reciprocal: npt.NDArray[np.int16]
    mult: int
    shift: int
    unit: int
    factor_mults: tuple[int, ...]


@dataclasses.dataclass(frozen=True)
class Source:
    """A projection: rows of it are positions, heads lie side by side in its channels.

    name: of its tensor, of which heads may still be to be made. first_tile: channel tile of head 0.
    """

    name: str
    place: Stored
    first_tile: int
    zero_point: int
    unsigned: bool


@dataclasses.dataclass(frozen=True)
class Attention:
    """All heads of one layer; logits have 16 bits. `context` is the way of F times the products.

    group: query heads per key head. depth_tiles: channel tiles of a head. mask: int32, 0 or -2^30
    per key, the same row for all queries or one for each, or None. logits: one for all heads, or one
    each, which differ in their multiplier. keep: the result, where it is kept in IBUF, too.
    """

    heads: int
    group: int
    depth_tiles: int
    query: Source
    key: Source
    value: Source
    mask: Stored | None
    logits: tuple[Requantize, ...]
    weights: WeightTables
    context: Requantize
    out: Stored
    keep: str = ""

    def logits_of(self, head: int) -> Requantize:
        return self.logits[head % len(self.logits)]

    @property
    def rows(self) -> int:
        return self.query.place.width

    @property
    def keys(self) -> int:
        return self.key.place.positions

    @property
    def mask_rows(self) -> int:
        """0 without a mask."""
        return 0 if self.mask is None else self.mask.width


@dataclasses.dataclass(frozen=True)
class _Unit:
    head: int
    first: int
    rows: int


def unit_rows(arch: Arch, rows: int, keys: int, depth_tiles: int, mask_rows: int) -> int:
    """Query rows of a unit that fit the memories; 0 where not even one does.

    A unit's logits fit half of OBUF, as long as that leaves the array whole passes.
    """
    lanes = arch.lanes
    key_tiles = -(-keys // lanes)
    mask_row = key_tiles * lanes * 4
    vmem = arch.vmem_bytes - (mask_row if mask_rows == 1 else 0)
    row = lanes * (key_tiles * LOGIT_BYTES + STAT_BYTES + depth_tiles)
    row += mask_row if mask_rows > 1 else 0
    fits = min(
        vmem // row,
        arch.ibuf_rows // (2 * (depth_tiles + key_tiles)),
        max(arch.obuf_half_rows // key_tiles, arch.rows),
        rows,
    )
    weights = 4 * key_tiles * depth_tiles * arch.rows  # keys and values of two heads
    halves = min(arch.obuf_half_rows // key_tiles, arch.obuf_half_rows // depth_tiles)
    if fits < 1 or halves < 1 or weights > arch.wbuf_rows or key_tiles > arch.param_rows:
        return 0
    return balanced(rows, fits)


def emit_attention(low: Lowering, problem: Attention) -> None:
    """Emits all heads. The problem fits: `unit_rows` is not 0."""
    _Emission(low, problem).run()


class _Emission:
    """One layer's memories and their contents. Everything is there twice where units overlap."""

    def __init__(self, low: Lowering, problem: Attention) -> None:
        self.low, self.arch, self.problem = low, low.arch, problem
        lanes = self.arch.lanes
        self.key_tiles = -(-problem.keys // lanes)
        self.tail = problem.keys % lanes
        self.logit_row = self.key_tiles * lanes * LOGIT_BYTES
        self.block = unit_rows(self.arch, problem.rows, problem.keys, problem.depth_tiles,
                               problem.mask_rows)
        self.units = [
            _Unit(head, first, min(self.block, problem.rows - first))
            for head in range(problem.heads)
            for first in range(0, problem.rows, self.block)
        ]
        if problem.mask_rows > 1:  # heads share a mask's rows: load them once
            self.units.sort(key=lambda unit: unit.first)
        self.ibuf = low.ibuf.take(2 * self.block * (problem.depth_tiles + self.key_tiles))
        mask_bytes = self.key_tiles * lanes * 4 * min(problem.mask_rows, self.block)
        self.vmem = low.vmem.take(
            self.block * (self.logit_row + lanes * (STAT_BYTES + problem.depth_tiles)) + mask_bytes
        )
        self.keep = low.residents.take(problem.keep) if problem.keep else None
        self.sums = self.vmem.base  # widest elements first, so that each is aligned
        self.mask = self.sums + 2 * self.block * lanes * 4
        self.logits = self.mask + mask_bytes
        self.maxima = self.logits + self.block * self.logit_row
        self.exponents = self.maxima + self.block * lanes * 2
        self.contexts = self.exponents + self.block * lanes
        self.param: Piece | None = None
        self.masked_row = -1  # first query row of the mask in VMEM
        # Keys and values of two heads in turn.
        self.weight_rows = self.key_tiles * problem.depth_tiles * self.arch.rows
        self.wbuf = low.wbuf.take(4 * self.weight_rows)
        self.key_head = self.value_head = -1  # the last ones in WBUF

    # --- places -----------------------------------------------------------------------------------

    def _slot(self, index: int, part: int) -> int:
        """First IBUF row of a unit's queries (0) or weights (1)."""
        depth = self.problem.depth_tiles
        before = index % 2 * (depth + self.key_tiles) + part * depth
        return self.ibuf.base + before * self.block

    # --- loads ------------------------------------------------------------------------------------

    def _load_mask(self, index: int) -> None:
        """A mask of rows into VMEM, [key tile][row][lane], unless it is there."""
        mask, unit, size = self.problem.mask, self.units[index], self.arch.lanes * 4
        if mask is None or mask.width == 1 or unit.first == self.masked_row:
            return
        self.masked_row = unit.first
        self.low.emit(isa.Load(
            buffer=VMEM, arg=mask.arg, dram=mask.offset + unit.first * size, dst=self.mask,
            n0=unit.rows * size, n1=self.key_tiles, n2=1, n3=1, d1=unit.rows * size,
            s1=mask.plane_bytes,
        ))

    def _load_mask_row(self) -> None:
        """A mask for all rows into VMEM, for the maxima, and into PARAM as biases of exponents."""
        mask, low, lanes = self.problem.mask, self.low, self.arch.lanes
        if mask is None or mask.width != 1:
            return
        size, row = lanes * 4, self.arch.param_row_bytes
        self.param = low.param.take(self.key_tiles)
        common = {"n0": size, "n1": self.key_tiles, "n2": 1, "n3": 1}
        low.emit(isa.Load(buffer=VMEM, arg=mask.arg, dram=mask.offset, dst=self.mask, d1=size,
                          s1=mask.plane_bytes, **common))
        low.emit(isa.Load(buffer=isa.Buffer.PARAM, arg=mask.arg, dram=mask.offset,
                          dst=self.param.base * row, d1=row, s1=mask.plane_bytes, **common))
        mults = low.constant(np.full(lanes, self.problem.weights.mult, np.int32))
        low.emit(isa.Load(buffer=isa.Buffer.PARAM, arg=CONSTANT_ARG, dram=mults,
                          dst=self.param.base * row + size, d1=row, s1=0, **common))

    def _load(self, index: int) -> None:
        """Queries of a unit, and keys where its head is a new one."""
        problem, unit, low = self.problem, self.units[index], self.low
        query, block = problem.query, self.arch.rows
        place, depth = query.place, problem.depth_tiles
        low.emit(isa.Load(
            buffer=IBUF, arg=place.arg, dst=self._slot(index, 0) * block,
            dram=place.offset + (query.first_tile + unit.head * depth) * place.plane_bytes
            + unit.first * block,
            n0=unit.rows * block, n1=depth, n2=1, n3=1, d1=unit.rows * block,
            s1=place.plane_bytes,
        ))
        head = unit.head // problem.group
        if head != self.key_head:
            self.key_head = head
            self._load_keys(head)

    def _need(self, source: Source, head: int) -> bool:
        """Has a head of a projection made; returns whether it was not yet."""
        before = len(self.low.steps)
        self.low.need(source.name, tiles=source.first_tile + (head + 1) * self.problem.depth_tiles)
        return len(self.low.steps) > before

    def _project(self, index: int) -> bool:
        """Has the projections of a unit's head made; returns whether some were not yet."""
        head = self.units[index].head
        group = head // self.problem.group
        problem = self.problem
        sources = ((problem.query, head), (problem.key, group), (problem.value, group))
        return any([self._need(source, number) for source, number in sources])

    def _wbuf(self, head: int, part: int) -> int:
        """First WBUF row of a key head's keys (0) or values (1)."""
        return self.wbuf.base + (head % 2 * 2 + part) * self.weight_rows

    def _load_keys(self, head: int) -> None:
        """[key tile][channel tile][key][channel]: the passes of a logits tile follow each other."""
        key, block, depth = self.problem.key, self.arch.rows, self.problem.depth_tiles
        base = self._wbuf(head, 0) * block
        tile, place = block * block, key.place
        dram = place.offset + (key.first_tile + head * depth) * place.plane_bytes
        whole, rest = divmod(self.problem.keys, block)
        if place.step:  # rows of a cache: a block of channels each
            self._load_rows(key, dram, base, block, whole, depth * tile, rest)
            return
        common = {"buffer": int(WBUF), "arg": place.arg, "n0": tile, "n1": depth, "n3": 1,
                  "d1": tile, "s1": place.plane_bytes}
        if whole:
            self.low.emit(isa.Load(**common, dst=base, dram=dram, n2=whole,
                                   d2=depth * tile, s2=tile))
        if rest:
            self.low.emit(isa.Load(
                **common, dst=base + whole * depth * tile, dram=dram + whole * tile,
                n2=1, after0=(block - rest) * block, fill=key.zero_point & 0xFF,
            ))

    def _load_rows(
        self, source: Source, dram: int, base: int, rows: int, whole: int, apart: int, rest: int
    ) -> None:
        """[part][channel tile][row][channel] of a head, in `whole` parts of `rows` rows and one of
        `rest`, whose last rows are filled up. apart: bytes from a part to the next."""
        place, block, depth = source.place, self.arch.rows, self.problem.depth_tiles
        common = {"buffer": int(WBUF), "arg": place.arg, "n0": block, "n1": rows, "d1": block,
                  "s1": place.step, "n2": depth, "d2": rows * block, "s2": place.plane_bytes}
        part = rows * place.step
        if whole:
            self.low.emit(isa.Load(**common, dst=base, dram=dram, n3=whole, d3=apart, s3=part))
        if rest:
            self.low.emit(isa.Load(**common, dst=base + whole * apart, dram=dram + whole * part,
                                   n3=1, after1=rows - rest, fill=source.zero_point & 0xFF))

    def _load_values(self, index: int) -> None:
        """[channel tile][key][channel], keys past the last one worth nothing."""
        head = self.units[index].head // self.problem.group
        if head == self.value_head:
            return
        self.value_head = head
        value, block, depth = self.problem.value, self.arch.rows, self.problem.depth_tiles
        place, size = value.place, self.key_tiles * block * block
        base = self._wbuf(head, 1) * block
        dram = place.offset + (value.first_tile + head * depth) * place.plane_bytes
        if place.step:
            whole, rest = divmod(self.problem.keys, self.key_tiles * block)
            self._load_rows(value, dram, base, self.key_tiles * block, whole, 0, rest)
            return
        self.low.emit(isa.Load(
            buffer=WBUF, arg=place.arg, dst=base, dram=dram,
            n0=size, n1=depth, n2=1, n3=1, d1=size, s1=place.plane_bytes,
            after0=size - self.problem.keys * block, fill=value.zero_point & 0xFF,
        ))

    # --- the pipeline -----------------------------------------------------------------------------

    def run(self) -> None:
        self._load_mask_row()
        self._load_mask(0)
        self._project(0)
        self._load(0)
        self._load_values(0)
        count = len(self.units)
        for index in range(count + 1):
            # Where the next head's projections are products among these, OBUF's halves are in turn
            # theirs, a context's, logits': none waits for what VECTOR has yet to begin.
            among = self._project(index + 1) if index + 1 < count else False
            if index + 1 < count:
                self._load(index + 1)
            if index < count and not among:
                self._logits(index)
            drains = self._context(index - 1) if index else []
            if among:
                while drains:
                    self.low.emit(drains.pop(0))
                self._logits(index)
            if index < count:
                self._exponentials(index)
                if index + 1 < count:
                    self._load_mask(index + 1)
                self._factors(index)
            if index + 1 < count:  # to where the values of the unit before this one were
                self._load_values(index + 1)
            for drain in drains:  # last: MATRIX makes it under this unit's weights
                self.low.emit(drain)
            if index:
                self._store(index - 1)
        self.low.ibuf.free(self.ibuf)
        self.low.vmem.free(self.vmem)
        self.low.wbuf.free(self.wbuf)
        if self.param is not None:
            self.low.param.free(self.param)

    def _logits(self, index: int) -> None:
        """Q K^T in halves of OBUF, each requantized into VMEM, and the row maxima."""
        problem, unit = self.problem, self.units[index]
        depth, block, lanes = problem.depth_tiles, self.arch.rows, self.arch.lanes
        logits = problem.logits_of(unit.head)
        keys = self._wbuf(unit.head // problem.group, 0)
        step = balanced(unit.rows, self.arch.obuf_half_rows // self.key_tiles)
        query, key = problem.query, problem.key
        for first in range(0, unit.rows, step):
            rows = min(step, unit.rows - first)
            obuf = self.low.obuf.take()
            for tile in range(self.key_tiles):
                self.low.emit(isa.Matrix(
                    ibuf=self._slot(index, 0) + first, wbuf=keys + tile * depth * block,
                    obuf=obuf + tile * rows, weight_transposed=1,
                    act_unsigned=int(query.unsigned), act_zero=query.zero_point,
                    weight_unsigned=int(key.unsigned), weight_zero=key.zero_point,
                    n_x=rows, n_y=1, n_kx=1, n_ky=1, n_c=depth, s_x=1, s_c=unit.rows,
                ))
            accumulators = {
                "src1_buffer": int(isa.Buffer.OBUF), "src1_dtype": int(isa.Dtype.S32),
                "src1_base": obuf * self.arch.obuf_row_bytes,
                "src1_stride0": rows * self.arch.obuf_row_bytes,
                "src1_stride1": self.arch.obuf_row_bytes,
                "n0": self.key_tiles, "n1": rows, "n2": 1, "n3": 1,
            }
            size = lanes * LOGIT_BYTES
            self.low.emit(isa.Vector(
                op=isa.VectorOp.MOVE, **accumulators, **logits.fields,
                dst_buffer=VMEM, dst_dtype=logits.dtype,
                dst_base=self.logits + first * self.logit_row, dst_stride0=size,
                dst_stride1=self.logit_row,
            ))
            masked = {} if problem.mask is None else {
                "src2_buffer": int(VMEM), "src2_dtype": int(isa.Dtype.S32),
                **self._masked(unit, first),
            }
            # The largest accumulator becomes the largest logit: rounding is monotone.
            self.low.emit(isa.Vector(
                op=isa.VectorOp.ADD, **accumulators, **masked, **self._reduced("MAXIMUM"),
                **logits.fields, dst_buffer=VMEM, dst_dtype=logits.dtype,
                dst_base=self.maxima + first * size, dst_stride1=size,
            ))

    def _masked(self, unit: _Unit, first: int = 0) -> dict[str, int]:
        """The mask in VMEM from row `first` of the unit on, as src2 under loops tile, row."""
        assert self.problem.mask is not None
        size, many = self.arch.lanes * 4, self.problem.mask.width > 1
        return {"src2_base": self.mask + (first * size if many else 0),
                "src2_stride0": unit.rows * size if many else size,
                "src2_stride1": size if many else 0}

    def _reduced(self, how: str) -> dict[str, int]:
        """Fields of a reduction over a row's tiles and lanes."""
        return {"reduce": int(isa.ReduceOp[how]), "reduce_loops": 1, "lane_reduce": 1,
                "tail_lanes": self.tail}

    def _row(self, name: str, base: int, dtype: isa.Dtype, tiles: bool = False) -> dict[str, int]:
        """An iterator over rows (loop 1): one vector each, or with `tiles` (loop 0) all of them."""
        size = self.arch.lanes * ELEMENT_BYTES[dtype]
        fields = {f"{name}_buffer": int(VMEM), f"{name}_dtype": int(dtype), f"{name}_base": base}
        if tiles:
            return {**fields, f"{name}_stride0": size, f"{name}_stride1": size * self.key_tiles}
        return {**fields, f"{name}_stride1": size}

    def _sums(self, index: int) -> int:
        """VMEM byte of a unit's sums, later its factors."""
        return self.sums + index % 2 * self.block * self.arch.lanes * 4

    def _to_weights(self, index: int) -> dict[str, int]:
        """Fields that put weights into IBUF, and for their sum to where the logits are."""
        lanes = self.arch.lanes
        return {
            **self._row("dst2", self.logits, isa.Dtype.S16, tiles=True),
            "dst_buffer": int(IBUF), "dst_dtype": int(isa.Dtype.U8),
            "dst_base": self._slot(index, 1) * lanes,
            "dst_stride0": self.units[index].rows * lanes, "dst_stride1": lanes,
        }

    def _exponentials(self, index: int) -> None:
        """w = table((x - M) m); masked keys lie far below the table's domain."""
        weights, unit, logits = self.problem.weights, self.units[index], self.problem.logits[0].dtype
        scale = {"scale": int(isa.ScaleMode.IMM), "mult1": weights.mult}
        if self.param is not None:
            scale = {"scale": int(isa.ScaleMode.PER_LANE), "param": self.param.base,
                     "param_stride0": 1}
        loops = {"n0": self.key_tiles, "n1": unit.rows, "n2": 1, "n3": 1}
        self.low.emit(isa.Vector(
            op=isa.VectorOp.SUB, **loops, **scale, shift=weights.shift, zero_point=32767,
            table=1, table_shift=weights.exponential_shift,
            table_index=self.low.table(weights.exponential),
            **self._row("src1", self.logits, logits, tiles=True),
            **self._row("src2", self.maxima, logits), **self._to_weights(index),
        ))
        if self.problem.mask is not None and self.param is None:
            self.low.emit(isa.Vector(
                op=isa.VectorOp.SELECT, **loops, src2_buffer=VMEM, src2_dtype=isa.Dtype.S32,
                **self._masked(unit), **self._to_weights(index),
            ))

    def _factors(self, index: int) -> None:
        """The sums, and their reciprocals as factors."""
        weights, unit, sums = self.problem.weights, self.units[index], self._sums(index)
        rows, mults = unit.rows, weights.factor_mults
        s32, s16 = isa.Dtype.S32, isa.Dtype.S16
        scaled = {"scale": int(isa.ScaleMode.IMM)}
        self.low.emit(isa.Vector(
            op=isa.VectorOp.MOVE, n0=self.key_tiles, n1=rows, n2=1, n3=1, **scaled,
            mult1=weights.unit,
            **self._row("src1", self.logits, s16, tiles=True), **self._reduced("SUM"),
            **self._row("dst", sums, s32),
        ))
        one = {"n0": 1, "n1": rows, "n2": 1, "n3": 1, **scaled}
        self.low.emit(isa.Vector(
            op=isa.VectorOp.EXPONENT, **one, mult1=-1, zero_point=30,
            **self._row("src1", sums, s32), **self._row("dst", self.exponents, isa.Dtype.U8),
        ))
        self.low.emit(isa.Vector(
            op=isa.VectorOp.NORM, **one, mult1=1, shift=14, zero_point=-32768,
            table=1, table_shift=8, table_index=self.low.table(weights.reciprocal),
            **self._row("src1", sums, s32), **self._row("dst", self.maxima, s16),
        ))
        self.low.emit(isa.Vector(
            op=isa.VectorOp.SHL, **one, mult1=mults[unit.head % len(mults)], shift=31,
            **self._row("src1", self.maxima, s16), **self._row("src2", self.exponents, isa.Dtype.U8),
            **self._row("dst", sums, s32),
        ))

    def _context(self, index: int) -> list[isa.Vector]:
        """W V of a unit; returns the drains, to be emitted when MATRIX is likely done."""
        problem, unit = self.problem, self.units[index]
        head, depth, block = unit.head // problem.group, problem.depth_tiles, self.arch.rows
        values, lanes = self._wbuf(head, 1), self.arch.lanes
        step = balanced(unit.rows, self.arch.obuf_half_rows // depth)
        drains = []
        for first in range(0, unit.rows, step):
            rows = min(step, unit.rows - first)
            obuf = self.low.obuf.take()
            for tile in range(depth):
                self.low.emit(isa.Matrix(
                    ibuf=self._slot(index, 1) + first,
                    wbuf=values + tile * self.key_tiles * block, obuf=obuf + tile * rows,
                    act_unsigned=1, weight_unsigned=int(problem.value.unsigned),
                    weight_zero=problem.value.zero_point,
                    n_x=rows, n_y=1, n_kx=1, n_ky=1, n_c=self.key_tiles, s_x=1, s_c=unit.rows,
                ))
            drains.append(isa.Vector(
                op=isa.VectorOp.MUL, **problem.context.fields, n0=rows, n1=depth, n2=1, n3=1,
                src2_buffer=VMEM, src2_dtype=isa.Dtype.S32,
                src2_base=self._sums(index) + first * lanes * 4, src2_stride0=lanes * 4,
                src1_buffer=isa.Buffer.OBUF, src1_dtype=isa.Dtype.S32,
                src1_base=obuf * self.arch.obuf_row_bytes,
                src1_stride0=self.arch.obuf_row_bytes,
                src1_stride1=rows * self.arch.obuf_row_bytes,
                dst_buffer=VMEM, dst_dtype=problem.context.dtype,
                dst_base=self.contexts + first * block, dst_stride0=block,
                dst_stride1=unit.rows * block, **self._kept(unit, first),
            ))
        return drains

    def _kept(self, unit: _Unit, first: int) -> dict[str, int]:
        """Fields that put a context's rows from `first` on into IBUF, too."""
        keep = self.keep
        if keep is None:
            return {}
        return {
            "dst2_buffer": int(IBUF), "dst2_dtype": int(self.problem.context.dtype),
            "dst2_base": keep.place(unit.head * self.problem.depth_tiles, 0, unit.first + first),
            "dst2_stride0": keep.block, "dst2_stride1": keep.plane * keep.block,
        }

    def _store(self, index: int) -> None:
        """The unit's context to DRAM."""
        unit, out, block = self.units[index], self.problem.out, self.arch.rows
        size, depth = unit.rows * block, self.problem.depth_tiles
        self.low.emit(isa.Store(
            buffer=VMEM, arg=out.arg, src=self.contexts,
            dram=out.offset + unit.head * depth * out.plane_bytes + unit.first * block,
            n0=size, n1=depth, n2=1, n3=1, l1=size, s1=out.plane_bytes,
        ))
