"""What VECTOR touches, and the rules of docs/machine.md that it keeps by itself.

In: the columns of a program. Out: accesses and broken rules, into `Rules`. A vector counts
whole, with the lanes that tail_lanes masks off: the machine checks addresses so, and it is on
the safe side.
"""

import dataclasses

import numpy as np

from jacquard.compiler.checker.access import Accesses, Rules, accesses
from jacquard.compiler.checker.footprint import intersects
from jacquard.compiler.checker.table import Ints, Mask, Table
from jacquard.proto import npu_isa
from jacquard.proto.npu_isa import Buffer, Dtype, ReduceOp, ScaleMode, VectorOp

_ELEMENT_BYTES = np.ones(8, dtype=np.int64)  # by Dtype
_ELEMENT_BYTES[[Dtype.S16, Dtype.U16]] = 2
_ELEMENT_BYTES[Dtype.S32] = 4
_NO_REDUCTION = [VectorOp.SELECT, VectorOp.SADD, VectorOp.LEAKY, VectorOp.TRANSPOSE]
_LOOPS = range(4)


@dataclasses.dataclass(frozen=True)
class _Iterator:
    """`row[k]`: row of instruction k of the table in `bytes`; -1 where the operand is absent."""

    name: str
    size: Ints  # bytes of an element, per row of `bytes`
    bytes: Accesses
    row: Ints


def check_vector(rules: Rules) -> None:
    """Fields, then the four iterators, then how these lie to each other, then TABLE and PARAM."""
    t = _fields(rules, rules.code.tables[npu_isa.Vector])
    if not len(t.index):
        return
    reduced = [t["reduce_loops"] > k for k in _LOOPS]
    every = [t[f"n{k}"] for k in _LOOPS]
    kept = [np.where(reduced[k], 1, every[k]) for k in _LOOPS]
    src1, src2 = (_iterator(rules, t, name, False, every) for name in ("src1", "src2"))
    dst, dst2 = (_iterator(rules, t, name, True, kept) for name in ("dst", "dst2"))
    _apart(
        rules, t, dst, dst2, np.zeros(len(t.index), dtype=np.bool_), "dst and dst2 must not overlap"
    )
    for write in (dst, dst2):
        for read in (src1, src2):
            _apart(
                rules,
                t,
                write,
                read,
                t["reduce_loops"] == 0,
                f"{write.name} must not overlap {read.name} unless both walk the same elements",
            )
    looks = t["table"] == 1
    row = rules.arch.table_row_bytes
    rules.on_chip(
        "the table",
        accesses(t.index[looks], Buffer.TABLE, False, t["table_index"][looks] * row, row),
    )
    scaled = t["scale"] == ScaleMode.PER_LANE
    row = rules.arch.param_row_bytes
    rules.on_chip(
        "param",
        accesses(
            t.index[scaled],
            Buffer.PARAM,
            False,
            t["param"][scaled] * row,
            row,
            [(kept[k][scaled], t[f"param_stride{k}"][scaled] * row) for k in _LOOPS],
        ),
    )


def _fields(rules: Rules, t: Table) -> Table:
    """Rules on single fields; returns the rows that have iterators to look at."""
    legal = np.ones(len(t.index), dtype=np.bool_)
    for name, kind in (("op", VectorOp), ("reduce", ReduceOp), ("scale", ScaleMode)):
        legal &= rules.require(
            t.index,
            t[name] < len(kind),
            lambda i, _, name=name, kind=kind: (
                f"{name} must be a {kind.__name__}, got {getattr(i, name)}; "
                "see the instruction page"
            ),
        )
    legal &= rules.require(
        t.index,
        t["reduce_loops"] <= 4,
        lambda i, _: f"reduce_loops must be at most 4, got {i.reduce_loops}; there are 4 loops",
    )
    scaled = ~np.isin(t["op"], [VectorOp.SADD, VectorOp.LEAKY]) | (t["scale"] != ScaleMode.OFF)
    rules.require(
        t.index, scaled, lambda i, _: f"{i.op.name} must have a scale, got OFF; use IMM or PER_LANE"
    )
    reduces = (t["reduce_loops"] > 0) | (t["lane_reduce"] > 0)
    rules.require(
        t.index,
        ~(np.isin(t["op"], _NO_REDUCTION) & reduces),
        lambda i, _: (
            f"{i.op.name} must not reduce, got reduce_loops {i.reduce_loops}, lane_reduce "
            f"{i.lane_reduce}; use another instruction"
        ),
    )
    lanes = rules.arch.lanes
    plain = (
        (t["n0"] == lanes)
        & (t["scale"] == 0)
        & (t["tail_lanes"] == 0)
        & (t["src2_buffer"] == Buffer.NONE)
    )
    rules.require(
        t.index,
        (t["op"] != VectorOp.TRANSPOSE) | plain,
        lambda i, _: (
            f"TRANSPOSE must have n0 = {lanes}, no scale, tail_lanes or src2, got n0 {i.n0}, "
            f"scale {int(i.scale)}, tail_lanes {i.tail_lanes}, src2 {int(i.src2_buffer)}; "
            "use another instruction"
        ),
    )
    legal &= rules.require(
        t.index,
        t["dst_buffer"] != Buffer.NONE,
        lambda *_: "dst must be present, got NONE; name VMEM or IBUF",
    )
    counted = rules.counts(t, [f"n{k}" for k in _LOOPS])
    return counted.take(legal[np.isin(t.index, counted.index)])


def _iterator(rules: Rules, t: Table, name: str, write: bool, counts: list[Ints]) -> _Iterator:
    """Checks one iterator where it is present; rows too broken for a footprint count as absent."""
    buffer, dtype = t[f"{name}_buffer"], t[f"{name}_dtype"]
    present = buffer != Buffer.NONE
    typed = ~present | (dtype < len(Dtype))
    rules.require(
        t.index,
        typed,
        lambda i, _: (
            f"{name}_dtype must be a Dtype, got {getattr(i, f'{name}_dtype')}; "
            "see the instruction page"
        ),
    )
    element = _ELEMENT_BYTES[dtype]
    reached = (buffer == Buffer.VMEM) | (buffer == Buffer.IBUF) & (element == 1)
    if not write:
        reached |= (buffer == Buffer.OBUF) & (dtype == Dtype.S32)
    rules.require(
        t.index,
        ~present | ~typed | reached,
        lambda _, row: (
            f"{name} must be VMEM or IBUF (8 bits){'' if write else ' or OBUF (S32)'}, got buffer "
            f"{_memory(int(buffer[row]))} with dtype {Dtype(int(dtype[row])).name}; move it"
        ),
    )
    keep = present & typed & reached
    run = rules.arch.lanes * element
    base, strides = t[f"{name}_base"], [t[f"{name}_stride{k}"] for k in _LOOPS]
    aligned = base % run == 0
    for k in _LOOPS:
        aligned &= (counts[k] == 1) | (strides[k] % run == 0)
    rules.require(
        t.index,
        ~keep | aligned,
        lambda _, row: (
            f"{name} must be aligned to lanes x element = {run[row]} bytes, got base {base[row]}, "
            f"strides {', '.join(str(s[row]) for s in strides)}; round them up"
        ),
    )
    touched = accesses(
        t.index[keep],
        buffer[keep],
        write,
        base[keep],
        run[keep],
        [(counts[k][keep], strides[k][keep]) for k in _LOOPS],
    )
    if write:
        rules.once(name, touched)
    rules.on_chip(name, touched)
    row = np.where(keep, np.cumsum(keep) - 1, -1)
    return _Iterator(name, element[keep], touched, row)


def _apart(rules: Rules, t: Table, a: _Iterator, b: _Iterator, in_place: Mask, rule: str) -> None:
    """a and b share no byte, or where `in_place` holds they are the same walk over elements."""
    both = np.flatnonzero((a.row >= 0) & (b.row >= 0))
    row_a, row_b = a.row[both], b.row[both]
    x, y = a.bytes, b.bytes
    meet = (
        (x.space[row_a] == y.space[row_b])
        & (x.lo[row_a] < y.hi[row_b])
        & (y.lo[row_b] < x.hi[row_a])
    )
    loops = (x.counts[row_a] == 1) & (y.counts[row_b] == 1) | (x.strides[row_a] == y.strides[row_b])
    same = (
        in_place[both]
        & loops.all(axis=1)
        & (x.base[row_a] == y.base[row_b])
        & (a.size[row_a] == b.size[row_b])
    )
    good = np.ones(len(t.index), dtype=np.bool_)
    for k in np.flatnonzero(meet & ~same).tolist():
        good[both[k]] = not intersects(x.region(int(row_a[k])), y.region(int(row_b[k])))
    rules.require(
        t.index,
        good,
        lambda _, k: (
            f"{rule}, got {_span(x, int(a.row[k]))} and {_span(y, int(b.row[k]))}; move one"
        ),
    )


def _span(a: Accesses, row: int) -> str:
    return f"{_memory(int(a.space[row]))} {a.lo[row]} to {a.hi[row]}"


def _memory(buffer: int) -> str:
    return Buffer(buffer).name if buffer < len(Buffer) else str(buffer)
