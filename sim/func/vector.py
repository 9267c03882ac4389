"""VECTOR: read, operate, reduce, scale, clamp, look up, write, under four nested loops.

Arrays have the shape `[n3, n2, n1, n0, lanes]`, after a reduction over k loops the first 4 - k of
these axes and lanes. Values are int64 that hold 32 bits up to the operation and wrap at 64 bits
from there on, as in the RTL.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from jacquard.proto import npu_isa as isa
from jacquard.sim.func.memories import Bytes, Fault, Memories, extent, strided

Int64 = npt.NDArray[np.int64]

_BUFFER, _OP, _SCALE, _REDUCE = isa.Buffer, isa.VectorOp, isa.ScaleMode, isa.ReduceOp
_DTYPES: dict[int, np.dtype[Any]] = {
    int(isa.Dtype.S8): np.dtype(np.int8),
    int(isa.Dtype.U8): np.dtype(np.uint8),
    int(isa.Dtype.S16): np.dtype(np.int16),
    int(isa.Dtype.U16): np.dtype(np.uint16),
    int(isa.Dtype.S32): np.dtype(np.int32),
}
_RANGES = {number: (np.iinfo(t).min, np.iinfo(t).max) for number, t in _DTYPES.items()}
# dtypes with which VECTOR reads and writes each memory.
_READS = {
    int(_BUFFER.IBUF): frozenset((isa.Dtype.S8, isa.Dtype.U8)),
    int(_BUFFER.OBUF): frozenset((isa.Dtype.S32,)),
    int(_BUFFER.VMEM): frozenset(_DTYPES),
}
_WRITES = {number: _READS[number] for number in (int(_BUFFER.IBUF), int(_BUFFER.VMEM))}

_NO_REDUCTION = frozenset((_OP.SELECT, _OP.SADD, _OP.LEAKY, _OP.TRANSPOSE))


def wrap32(x: Int64) -> Int64:
    """The low 32 bits, as a signed number."""
    return x.astype(np.int32).astype(np.int64)


def exponent(a: Int64) -> Int64:
    """The largest even E with 2**E <= a, a below 2**31; 0 where a <= 0."""
    # frexp is exact: a float64 holds all of a, and a = m * 2**e with m in [0.5, 1).
    _, bits = np.frexp(np.maximum(a, 1).astype(np.float64))
    return (bits.astype(np.int64) - 1) & ~1


def norm(a: Int64) -> Int64:
    """a moved into [2**28, 2**30) by an even shift, 0 where a <= 0."""
    up = 28 - exponent(a)
    return np.where(a > 0, np.where(up >= 0, a << np.maximum(up, 0), a >> 2), 0)


# t = op(A, B). SADD and LEAKY leave their work to the scale stage, SELECT to the write.
OPERATIONS: dict[int, Callable[[Int64, Int64], Int64]] = {
    _OP.MOVE: lambda a, b: a,
    _OP.ADD: lambda a, b: a + b,
    _OP.SUB: lambda a, b: a - b,
    _OP.MUL: lambda a, b: a * b,
    _OP.MIN: np.minimum,
    _OP.MAX: np.maximum,
    _OP.SHL: lambda a, b: wrap32(a << (b & 31)),
    _OP.SHR: lambda a, b: a >> (b & 31),
    _OP.SHRL: lambda a, b: wrap32((a & 0xFFFFFFFF) >> (b & 31)),
    _OP.AND: np.bitwise_and,
    _OP.OR: np.bitwise_or,
    _OP.XOR: np.bitwise_xor,
    _OP.NOT: lambda a, b: ~a,
    _OP.EQ: lambda a, b: (a == b).astype(np.int64),
    _OP.NE: lambda a, b: (a != b).astype(np.int64),
    _OP.LT: lambda a, b: (a < b).astype(np.int64),
    _OP.LE: lambda a, b: (a <= b).astype(np.int64),
    _OP.GT: lambda a, b: (a > b).astype(np.int64),
    _OP.GE: lambda a, b: (a >= b).astype(np.int64),
    _OP.RELU: lambda a, b: np.maximum(a, 0),
    _OP.SELECT: lambda a, b: a,
    _OP.SADD: lambda a, b: a,
    _OP.LEAKY: lambda a, b: a,
    _OP.TRANSPOSE: lambda a, b: np.swapaxes(a, 3, 4),
    _OP.EXPONENT: lambda a, b: exponent(a),
    _OP.NORM: lambda a, b: norm(a),
}
REDUCTIONS: dict[int, tuple[np.ufunc, int]] = {  # and its identity
    _REDUCE.SUM: (np.add, 0),
    _REDUCE.MAXIMUM: (np.maximum, -(2**63)),
    _REDUCE.MINIMUM: (np.minimum, 2**63 - 1),
}


def rounding_shift(x: Int64, shift: int) -> Int64:
    """`x >> shift` rounded half to even, for shifts 0 to 63 (see proto.lib.fixed_point)."""
    if shift == 0:
        return x
    floor = x >> shift
    half = 1 << (shift - 1)
    # Above the half, or on it with an odd floor. The remainder and one may need 64 bits: unsigned.
    remainder = (x & ((1 << shift) - 1)).view(np.uint64)
    remainder += (floor & 1).view(np.uint64)
    floor += remainder > half
    return floor


class _Operand:
    """A checked iterator: its memory and where its vectors lie."""

    __slots__ = ("memory", "dtype", "range", "base", "strides")

    def __init__(
        self,
        memories: Memories,
        reaches: dict[int, frozenset[int]],
        buffer: int,
        dtype: int,
        base: int,
        counts: tuple[int, ...],
        strides: tuple[int, ...],
    ) -> None:
        """Raises Fault LOCAL_RANGE. Counts and strides outermost loop first."""
        if dtype not in reaches.get(buffer, ()):
            raise Fault(isa.Error.LOCAL_RANGE)
        self.memory: Bytes = memories.buffer(buffer)
        self.dtype = _DTYPES[dtype]
        self.range = _RANGES[dtype]
        self.base = base
        self.strides = strides
        lowest, highest = extent(base, counts, strides)
        if lowest < 0 or highest + memories.arch.lanes * self.dtype.itemsize > self.memory.size:
            raise Fault(isa.Error.LOCAL_RANGE)

    def aligned(self, lanes: int, counts: tuple[int, ...]) -> bool:
        """Whether every address that occurs is a multiple of the vector's size."""
        size = lanes * self.dtype.itemsize
        steps = zip(counts, self.strides, strict=True)
        return self.base % size == 0 and all(n == 1 or stride % size == 0 for n, stride in steps)

    def view(self, lanes: int, counts: tuple[int, ...]) -> npt.NDArray[np.generic]:
        size = self.dtype.itemsize
        return strided(
            self.memory, self.dtype, self.base, (*counts, lanes), (*self.strides, size)
        )


def _check_legal(instr: isa.Vector, lanes: int) -> None:
    reduces = instr.reduce_loops or instr.lane_reduce
    op = instr.op
    illegal = (
        not (instr.n0 and instr.n1 and instr.n2 and instr.n3)
        or op not in OPERATIONS
        or instr.reduce not in REDUCTIONS
        or instr.scale > _SCALE.PER_LANE
        or instr.reduce_loops > 4
        or instr.dst_buffer == 0
        or instr.dst_dtype not in _DTYPES
        or (instr.src1_buffer != 0 and instr.src1_dtype not in _DTYPES)
        or (instr.src2_buffer != 0 and instr.src2_dtype not in _DTYPES)
        or (instr.dst2_buffer != 0 and instr.dst2_dtype not in _DTYPES)
        or (reduces and op in _NO_REDUCTION)
        or (instr.scale == _SCALE.OFF and op in (_OP.SADD, _OP.LEAKY))
    )
    if not illegal and op == _OP.TRANSPOSE:
        illegal = bool(
            instr.n0 != lanes or instr.scale or instr.tail_lanes or instr.src2_buffer != 0
        )
    if illegal:
        raise Fault(isa.Error.ILLEGAL)


def _operand(
    memories: Memories, instr: isa.Vector, which: str, counts: tuple[int, ...]
) -> _Operand | None:
    """The iterator of that name over counts (outermost first); None if it is absent."""
    buffer = getattr(instr, which + "_buffer")
    if not buffer:
        return None
    strides = (
        getattr(instr, which + "_stride3"),
        getattr(instr, which + "_stride2"),
        getattr(instr, which + "_stride1"),
        getattr(instr, which + "_stride0"),
    )[: len(counts)]
    return _Operand(
        memories,
        _READS if which[0] == "s" else _WRITES,
        buffer,
        getattr(instr, which + "_dtype"),
        getattr(instr, which + "_base"),
        counts,
        strides,
    )


def _param(
    memories: Memories, instr: isa.Vector, counts: tuple[int, ...]
) -> tuple[Int64, Int64]:
    """Bias and multiplier, each int64 that broadcasts to `[*counts, lanes]`."""
    loops = (instr.param_stride3, instr.param_stride2, instr.param_stride1, instr.param_stride0)
    strides = loops[: len(counts)]
    lanes = memories.arch.lanes
    memory = memories.buffer(_BUFFER.PARAM)
    row_bytes = 8 * lanes
    lowest, highest = extent(instr.param, counts, strides)
    if lowest < 0 or (highest + 1) * row_bytes > memory.size:
        raise Fault(isa.Error.LOCAL_RANGE)
    # A loop that stays in its row has one entry there, for NumPy to repeat.
    both = strided(
        memory,
        np.int32,
        instr.param * row_bytes,
        (*(n if stride else 1 for n, stride in zip(counts, strides, strict=True)), 2 * lanes),
        (*(stride * row_bytes for stride in strides), 4),
    ).astype(np.int64)
    return both[..., :lanes], both[..., lanes:]


def _source(operand: _Operand | None, imm: int, lanes: int, counts: tuple[int, ...]) -> Int64:
    """`wrap32(ext(source) + imm)`, int64 `[*counts, lanes]`; a single number if it is absent."""
    if operand is None:
        return np.asarray(imm, np.int64)
    values = operand.view(lanes, counts).astype(np.int64, order="C")
    return wrap32(values + imm) if imm else values


def _reduce(instr: isa.Vector, v: Int64, kept: int, tail: int) -> Int64:
    """Combines the loops behind the first `kept` axes, then the lanes if so asked. Changes v."""
    combine, identity = REDUCTIONS[instr.reduce]
    if tail:
        v[..., -1, tail:] = identity
    if kept < 4:
        v = combine.reduce(v, axis=tuple(range(kept, 4)))
    if instr.lane_reduce:
        v = np.repeat(combine.reduce(v, axis=-1, keepdims=True), v.shape[-1], axis=-1)
    return v


def _scale(
    instr: isa.Vector, v: Int64, b: Int64, param: tuple[Int64, Int64] | None
) -> Int64:
    """Bias, multiplier and rounding shift; zero point and clamp follow whatever the mode."""
    if instr.scale != _SCALE.OFF:
        mult: Int64 | int = instr.mult1
        if param is not None:
            v = v + param[0]
            mult = param[1]
        if instr.op == _OP.SADD:
            v = v * mult + b * instr.mult2
        elif instr.op == _OP.LEAKY:
            v = v * np.where(v < 0, np.int64(instr.mult2), mult)
        else:
            v = v * mult
        v = rounding_shift(v, instr.shift)
    if instr.zero_point:
        v = v + instr.zero_point
    if instr.clamp:
        v = np.minimum(np.maximum(v, instr.lo), instr.hi)
    return v


def _table(memories: Memories, instr: isa.Vector) -> npt.NDArray[np.int16] | None:
    """The table of an instruction, int16 `[256, 2]`: base, slope. Raises Fault LOCAL_RANGE."""
    if not instr.table:
        return None
    if instr.table_index >= memories.arch.table_rows:
        raise Fault(isa.Error.LOCAL_RANGE)
    row_bytes = memories.arch.table_row_bytes
    start = instr.table_index * row_bytes
    memory = memories.buffer(_BUFFER.TABLE)[start : start + row_bytes]
    return memory.view(np.int16).reshape(-1, 2)


def _look_up(table: npt.NDArray[np.int16], shift: int, v: Int64) -> Int64:
    """Linear interpolation in a table at v saturated to 16 bits."""
    t = np.minimum(np.maximum(v, -32768), 32767)
    base, slope = table.T.astype(np.int64)
    i = (t >> 8) + 128
    return rounding_shift(base.take(i) * 256 + slope.take(i) * (t & 255), shift)


def _write(
    target: npt.NDArray[np.generic], y: Int64, mask: npt.NDArray[np.bool_] | None, tail: int
) -> None:
    """Writes y, of the target's range already, where the mask and the tail allow."""
    if mask is not None:
        mask = np.broadcast_to(mask, y.shape)
        if tail:
            mask = mask.copy()
            mask[..., -1, tail:] = False
        np.copyto(target, y, where=mask, casting="unsafe")
    elif tail:
        target[..., :-1, :] = y[..., :-1, :]
        target[..., -1, :tail] = y[..., -1, :tail]
    else:
        target[...] = y


def execute(memories: Memories, instr: isa.Vector) -> None:
    """Executes one VECTOR. Raises Fault ILLEGAL, LOCAL_RANGE or ALIGNMENT."""
    lanes = memories.arch.lanes
    _check_legal(instr, lanes)
    table = _table(memories, instr)
    counts = (instr.n3, instr.n2, instr.n1, instr.n0)
    kept = 4 - instr.reduce_loops
    out = counts[:kept]
    src1 = _operand(memories, instr, "src1", counts)
    src2 = _operand(memories, instr, "src2", counts)
    dst = _operand(memories, instr, "dst", out)
    dst2 = _operand(memories, instr, "dst2", out)
    param = _param(memories, instr, out) if instr.scale == _SCALE.PER_LANE else None
    for operand, loops in ((src1, counts), (src2, counts), (dst, out), (dst2, out)):
        if operand is not None and not operand.aligned(lanes, loops):
            raise Fault(isa.Error.ALIGNMENT)

    a = _source(src1, instr.imm1, lanes, counts)
    b = _source(src2, instr.imm2, lanes, counts)
    if src1 is None:
        a = np.full((*counts, lanes), a)
    v = OPERATIONS[instr.op](a, b)
    tail = instr.tail_lanes if instr.tail_lanes < lanes else 0
    if kept < 4 or instr.lane_reduce:
        v = _reduce(instr, v, kept, tail)
        tail = 0  # a reduction writes all lanes
    v = _scale(instr, v, b, param)
    if table is not None:
        v = _look_up(table, instr.table_shift, v)
    mask = b != 0 if instr.op == _OP.SELECT else None
    for operand in (dst, dst2):
        if operand is not None:
            lowest, highest = operand.range
            y = np.minimum(np.maximum(v, lowest), highest)
            _write(operand.view(lanes, out), y, mask, tail)
