"""Legality of single instructions, and the bytes that each reads and writes.

In: a decoded instruction. Out: lines for every rule of docs/machine.md that it breaks by itself
(fields, reach, alignment, bounds, overlap inside the instruction), and its accesses. Written from
docs/machine.md, not from the emitter or the functional simulator.
"""

from collections.abc import Mapping
from typing import NamedTuple

from jacquard.compiler.checker.footprint import Region, intersects, region, writes_once
from jacquard.proto import npu_isa
from jacquard.proto.lib.arch import Arch
from jacquard.proto.npu_isa import Buffer, Dtype, ReduceOp, ScaleMode, VectorOp

DRAM = 16  # space DRAM + k is the segment of argument register k; smaller ones are Buffer numbers

_ELEMENT_BYTES = {Dtype.S8: 1, Dtype.U8: 1, Dtype.S16: 2, Dtype.U16: 2, Dtype.S32: 4}
_NO_REDUCTION = frozenset({VectorOp.SELECT, VectorOp.SADD, VectorOp.LEAKY, VectorOp.TRANSPOSE})


class Segment(NamedTuple):
    """What DRAM accesses are checked against."""

    name: str
    size_bytes: int
    constant: bool


class Access(NamedTuple):
    """Bytes of one space that an instruction reads or writes."""

    space: int
    write: bool
    region: Region


class Reader:
    """Checks instructions of one program; `accesses` fills `errors` with `rule, got value`."""

    def __init__(self, arch: Arch, segments: Mapping[int, Segment]) -> None:
        self._arch = arch
        self._segments = segments
        self._bytes = {
            int(Buffer[n]): arch.buffer_bytes(n) for n in ("IBUF", "WBUF", "OBUF", "VMEM", "PARAM")
        }
        self.errors: list[str] = []

    def accesses(self, i: npu_isa.Instruction) -> list[Access]:
        """All accesses of `i`; empty for `end`. Mistakes are appended to `errors`."""
        if i.ENGINE is not None:
            if (i.pop | i.push) >> i.ENGINE & 1:
                self.errors.append(
                    f"pop and push must not name the own engine {i.ENGINE.name}, "
                    f"got pop {i.pop}, push {i.push}; drop the bit"
                )
        if isinstance(i, npu_isa.Vector):
            return self._vector(i)
        if isinstance(i, npu_isa.Matrix):
            return self._matrix(i)
        if isinstance(i, npu_isa.Load):
            return self._load(i)
        if isinstance(i, npu_isa.Store):
            return self._store(i)
        return []

    def _counts(self, **counts: int) -> bool:
        zero = [name for name, n in counts.items() if n == 0]
        if zero:
            self.errors.append(f"counts must be at least 1, got 0 for {', '.join(zero)}; write 1")
        return not zero

    def _on_chip(
        self, found: list[Access], what: str, buffer: int, write: bool, bytes_: Region
    ) -> None:
        if bytes_.lo < 0 or bytes_.hi > self._bytes[buffer]:
            self.errors.append(
                f"{what} must lie in {Buffer(buffer).name} (0 to "
                f"{self._bytes[buffer]}), got bytes {bytes_.lo} to {bytes_.hi}; "
                "move it or make it smaller"
            )
        found.append(Access(buffer, write, bytes_))

    def _dram(self, found: list[Access], arg: int, write: bool, bytes_: Region) -> None:
        segment = self._segments.get(arg)
        if segment is None:
            known = ", ".join(str(a) for a in self._segments) or "none"
            self.errors.append(
                f"arg must name a segment's argument register, got {arg}; the program has {known}"
            )
            return
        if bytes_.lo < 0 or bytes_.hi > segment.size_bytes:
            self.errors.append(
                f"DRAM addresses must lie in segment {segment.name} (0 to "
                f"{segment.size_bytes}), got bytes {bytes_.lo} to {bytes_.hi}; "
                "move them"
            )
        if write and segment.constant:
            self.errors.append(
                f"segment {segment.name} is constant and must not be written, got a "
                f"store to bytes {bytes_.lo} to {bytes_.hi}; store to a scratch "
                "segment"
            )
        found.append(Access(DRAM + arg, write, bytes_))

    def _once(self, what: str, run: int, dims: tuple[tuple[int, int], ...]) -> None:
        if not writes_once(run, dims):
            self.errors.append(
                f"{what} must write no byte twice, got runs of {run} bytes with "
                f"(count, stride) {', '.join(map(str, dims))}; spread the strides"
            )

    def _load(self, i: npu_isa.Load) -> list[Access]:
        found: list[Access] = []
        if not self._counts(n0=i.n0, n1=i.n1, n2=i.n2, n3=i.n3):
            return found
        if i.before0 + i.after0 > i.n0 or i.before1 + i.after1 > i.n1:
            self.errors.append(
                f"padding must fit the loops, got {i.before0} + {i.after0} of n0 "
                f"{i.n0}, {i.before1} + {i.after1} of n1 {i.n1}; pad less"
            )
            return found
        if i.buffer in (Buffer.IBUF, Buffer.WBUF, Buffer.VMEM, Buffer.PARAM):
            dims = ((i.n1, i.d1), (i.n2, i.d2), (i.n3, i.d3))
            self._once("the destination", i.n0, dims)
            self._on_chip(found, "the destination", i.buffer, True, region(i.dst, i.n0, dims))
        else:
            self.errors.append(
                f"buffer must be IBUF, WBUF, VMEM or PARAM, got {i.buffer}; "
                "LOAD does not reach others"
            )
        run, runs = i.n0 - i.before0 - i.after0, i.n1 - i.before1 - i.after1
        if run and runs:
            self._dram(
                found, i.arg, False, region(i.dram, run, ((runs, i.s1), (i.n2, i.s2), (i.n3, i.s3)))
            )
        return found

    def _store(self, i: npu_isa.Store) -> list[Access]:
        found: list[Access] = []
        if not self._counts(n0=i.n0, n1=i.n1, n2=i.n2, n3=i.n3):
            return found
        if i.buffer in (Buffer.VMEM, Buffer.IBUF):
            self._on_chip(
                found,
                "the source",
                i.buffer,
                False,
                region(i.src, i.n0, ((i.n1, i.l1), (i.n2, i.l2), (i.n3, i.l3))),
            )
        else:
            self.errors.append(
                f"buffer must be VMEM or IBUF, got {i.buffer}; STORE does not reach others"
            )
        dims = ((i.n1, i.s1), (i.n2, i.s2), (i.n3, i.s3))
        self._once("the destination", i.n0, dims)
        self._dram(found, i.arg, True, region(i.dram, i.n0, dims))
        return found

    def _matrix(self, i: npu_isa.Matrix) -> list[Access]:
        found: list[Access] = []
        if i.weight_transposed:
            self.errors.append("weight_transposed must be 0, got 1; it is reserved")
        for name, zero, unsigned in (
            ("act_zero", i.act_zero, i.act_unsigned),
            ("weight_zero", i.weight_zero, i.weight_unsigned),
        ):
            low = 0 if unsigned else -128
            if not low <= zero <= low + 255:
                self.errors.append(
                    f"{name} must lie in {low} to {low + 255}, got {zero}; "
                    "zero points lie in their type's range"
                )
        if not self._counts(n_x=i.n_x, n_y=i.n_y, n_kx=i.n_kx, n_ky=i.n_ky, n_c=i.n_c):
            return found
        arch = self._arch
        row = arch.ibuf_row_bytes
        self._on_chip(
            found,
            "activations",
            Buffer.IBUF,
            False,
            region(
                i.ibuf * row,
                row,
                (
                    (i.n_x, i.s_x * row),
                    (i.n_y, i.s_y * row),
                    (i.n_kx, i.s_kx * row),
                    (i.n_ky, i.s_ky * row),
                    (i.n_c, i.s_c * row),
                ),
            ),
        )
        row = arch.wbuf_row_bytes
        passes = i.n_kx * i.n_ky * i.n_c
        self._on_chip(
            found, "weights", Buffer.WBUF, False, region(i.wbuf * row, passes * arch.rows * row, ())
        )
        row = arch.obuf_row_bytes
        self._on_chip(
            found, "sums", Buffer.OBUF, True, region(i.obuf * row, i.n_x * i.n_y * row, ())
        )
        return found

    def _vector(self, i: npu_isa.Vector) -> list[Access]:
        found: list[Access] = []
        legal = True
        for name, value, kind in (
            ("op", i.op, VectorOp),
            ("reduce", i.reduce, ReduceOp),
            ("scale", i.scale, ScaleMode),
        ):
            if value >= len(kind):
                self.errors.append(
                    f"{name} must be a {kind.__name__}, got {value}; see the instruction page"
                )
                legal = False
        if i.reduce_loops > 4:
            self.errors.append(
                f"reduce_loops must be at most 4, got {i.reduce_loops}; there are 4 loops"
            )
            legal = False
        if i.op in (VectorOp.SADD, VectorOp.LEAKY) and i.scale == ScaleMode.OFF:
            self.errors.append(
                f"{VectorOp(i.op).name} must have a scale, got OFF; use IMM or PER_LANE"
            )
        if i.op in _NO_REDUCTION and (i.reduce_loops or i.lane_reduce):
            self.errors.append(
                f"{VectorOp(i.op).name} must not reduce, got reduce_loops {i.reduce_loops}, "
                f"lane_reduce {i.lane_reduce}; use another instruction"
            )
        if i.op == VectorOp.TRANSPOSE and (
            i.n0 != self._arch.lanes or i.scale or i.tail_lanes or i.src2_buffer
        ):
            self.errors.append(
                f"TRANSPOSE must have n0 = {self._arch.lanes}, no scale, tail_lanes "
                f"or src2, got n0 {i.n0}, scale {int(i.scale)}, tail_lanes "
                f"{i.tail_lanes}, src2 {int(i.src2_buffer)}; use another instruction"
            )
        legal = self._counts(n0=i.n0, n1=i.n1, n2=i.n2, n3=i.n3) and legal
        if i.dst_buffer == Buffer.NONE:
            self.errors.append("dst must be present, got NONE; name VMEM or IBUF")
            legal = False
        if not legal:
            return found
        kept = [n if k >= i.reduce_loops else 1 for k, n in enumerate((i.n0, i.n1, i.n2, i.n3))]
        every = [i.n0, i.n1, i.n2, i.n3]
        reads = [
            self._iterator(
                found,
                "src1",
                False,
                every,
                i.src1_buffer,
                i.src1_dtype,
                i.src1_base,
                (i.src1_stride0, i.src1_stride1, i.src1_stride2, i.src1_stride3),
            ),
            self._iterator(
                found,
                "src2",
                False,
                every,
                i.src2_buffer,
                i.src2_dtype,
                i.src2_base,
                (i.src2_stride0, i.src2_stride1, i.src2_stride2, i.src2_stride3),
            ),
        ]
        writes = [
            self._iterator(
                found,
                "dst",
                True,
                kept,
                i.dst_buffer,
                i.dst_dtype,
                i.dst_base,
                (i.dst_stride0, i.dst_stride1, i.dst_stride2, i.dst_stride3),
            ),
            self._iterator(
                found,
                "dst2",
                True,
                kept,
                i.dst2_buffer,
                i.dst2_dtype,
                i.dst2_base,
                (i.dst2_stride0, i.dst2_stride1, i.dst2_stride2, i.dst2_stride3),
            ),
        ]
        self._apart(reads, writes, in_place=i.reduce_loops == 0)
        if i.scale == ScaleMode.PER_LANE:
            row = self._arch.param_row_bytes
            strides = (i.param_stride0, i.param_stride1, i.param_stride2, i.param_stride3)
            self._on_chip(
                found,
                "param",
                Buffer.PARAM,
                False,
                region(
                    i.param * row,
                    row,
                    tuple((n, s * row) for n, s in zip(kept, strides, strict=True)),
                ),
            )
        return found

    def _iterator(
        self,
        found: list[Access],
        name: str,
        write: bool,
        counts: list[int],
        buffer: int,
        dtype: int,
        base: int,
        strides: tuple[int, ...],
    ) -> "_Iterator | None":
        """Checks one iterator; None if it is absent or too broken to have a footprint."""
        if buffer == Buffer.NONE:
            return None
        if dtype >= len(Dtype):
            self.errors.append(
                f"{name}_dtype must be a Dtype, got {dtype}; see the instruction page"
            )
            return None
        size = _ELEMENT_BYTES[Dtype(dtype)]
        if buffer == Buffer.VMEM:
            reached = True
        elif buffer == Buffer.IBUF:
            reached = size == 1
        else:
            reached = buffer == Buffer.OBUF and not write and dtype == Dtype.S32
        if not reached:
            way = "VMEM or IBUF (8 bits)" + ("" if write else " or OBUF (S32)")
            self.errors.append(
                f"{name} must be {way}, got buffer {_name(buffer)} with dtype "
                f"{Dtype(dtype).name}; move it"
            )
            return None
        run = self._arch.lanes * size
        dims = tuple((n, s) for n, s in zip(counts, strides, strict=True) if n > 1)
        if base % run or any(s % run for _, s in dims):
            self.errors.append(
                f"{name} must be aligned to lanes x element = {run} bytes, got base "
                f"{base}, strides {', '.join(str(s) for _, s in dims) or 'none'}; "
                "round them up"
            )
        if write:
            self._once(name, run, dims)
        bytes_ = region(base, run, dims)
        self._on_chip(found, name, buffer, write, bytes_)
        return _Iterator(name, buffer, size, base, dims, bytes_)

    def _apart(
        self, reads: "list[_Iterator | None]", writes: "list[_Iterator | None]", in_place: bool
    ) -> None:
        """No byte written is read, but by the iteration that writes it; none is written twice."""
        dst, dst2 = writes
        if dst and dst2 and dst.buffer == dst2.buffer and intersects(dst.bytes, dst2.bytes):
            self.errors.append(
                f"dst and dst2 must not overlap, got {_span(dst)} and {_span(dst2)}; move one"
            )
        for write in writes:
            for read in reads:
                if not write or not read or write.buffer != read.buffer:
                    continue
                if in_place and (write.base, write.dims, write.size) == (
                    read.base,
                    read.dims,
                    read.size,
                ):
                    continue
                if intersects(write.bytes, read.bytes):
                    self.errors.append(
                        f"{write.name} must not overlap {read.name} unless both walk the same "
                        f"elements, got {_span(write)} and {_span(read)}; move one"
                    )


class _Iterator(NamedTuple):
    name: str
    buffer: int
    size: int  # bytes of an element
    base: int
    dims: tuple[tuple[int, int], ...]
    bytes: Region


def _span(iterator: _Iterator) -> str:
    return f"{_name(iterator.buffer)} {iterator.bytes.lo} to {iterator.bytes.hi}"


def _name(buffer: int) -> str:
    return Buffer(buffer).name if buffer < len(Buffer) else str(buffer)
