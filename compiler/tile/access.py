"""Which bytes an instruction reads and writes, as strided patterns.

A pattern is in granules: rows of IBUF, WBUF, OBUF and PARAM, tables, vectors of 8-bit elements of VMEM,
blocks of DRAM. What does not lie on granules is widened to the interval that covers it, so that
patterns may claim too much and never too little. What goes through a register that a run sets counts
at every number that it may be given.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from jacquard.compiler.tile.ir import CACHE_ARG, SCRATCH_ARG, Argument, Instruction
from jacquard.proto import npu_isa as isa
from jacquard.proto.lib.arch import Arch

DRAM = 0  # the activations' segment; on-chip memories have their buffer's number
CACHE = -1  # the segment that outlives a run
ELEMENT_BYTES: dict[int, int] = {
    isa.Dtype.S8: 1, isa.Dtype.U8: 1, isa.Dtype.S16: 2, isa.Dtype.U16: 2, isa.Dtype.S32: 4,
}


class Access(NamedTuple):
    """Granules base + sum(i * stride) for i < count of each dimension, `run` of them each."""

    memory: int
    write: bool
    base: int
    run: int
    dims: tuple[tuple[int, int], ...]  # (count, stride)


def granules(arch: Arch) -> dict[int, int]:
    """Memory -> bytes of a granule."""
    return {
        DRAM: arch.rows, CACHE: arch.rows, int(isa.Buffer.IBUF): arch.ibuf_row_bytes,
        int(isa.Buffer.WBUF): arch.wbuf_row_bytes, int(isa.Buffer.OBUF): arch.obuf_row_bytes,
        int(isa.Buffer.VMEM): arch.lanes, int(isa.Buffer.PARAM): arch.param_row_bytes,
        int(isa.Buffer.TABLE): arch.table_row_bytes,
    }


class AccessFinder:
    """Finds the accesses of instructions for one machine and a program's arguments."""

    def __init__(self, arch: Arch, arguments: Iterable[Argument] = ()) -> None:
        self._rows, self._lanes = arch.rows, arch.lanes
        self._grains = granules(arch)
        # Register -> memory and the places that it may name. Constants are missing: nobody writes.
        memories = {SCRATCH_ARG: DRAM, CACHE_ARG: CACHE}
        self._reach = {arg: (memory, (1, 0)) for arg, memory in memories.items()}
        for a in arguments:
            if a.base in memories:
                self._reach[a.arg] = (memories[a.base], (a.count, a.step_bytes))

    def accesses(self, instruction: Instruction) -> list[Access]:
        """Every memory that the instruction reads or writes."""
        if isinstance(instruction, isa.Matrix):
            return self._matrix(instruction)
        if isinstance(instruction, isa.Vector):
            return self._vector(instruction)
        if isinstance(instruction, isa.Store):
            return self._store(instruction)
        return self._load(instruction)

    def _load(self, i: isa.Load) -> list[Access]:
        dims = ((i.n1, i.d1), (i.n2, i.d2), (i.n3, i.d3))
        found = [self._bytes(int(i.buffer), True, i.dst, i.n0, dims)]
        inner, runs = i.n0 - i.before0 - i.after0, i.n1 - i.before1 - i.after1
        if i.gather:  # n2 = n3 = 1 and no padding
            found += self._dram(i.index_arg, False, i.index_dram, 4 * i.n1, ())
            runs = i.index_limit  # any of these rows
        if inner > 0 and runs > 0:
            dims = ((runs, i.s1), (i.n2, i.s2), (i.n3, i.s3))
            found += self._dram(i.arg, False, i.dram, inner, dims)
        return found

    def _store(self, s: isa.Store) -> list[Access]:
        local = ((s.n1, s.l1), (s.n2, s.l2), (s.n3, s.l3))
        remote = ((s.n1, s.s1), (s.n2, s.s2), (s.n3, s.s3))
        return [
            self._bytes(int(s.buffer), False, s.src, s.n0, local),
            *self._dram(s.arg, True, s.dram, s.n0, remote),
        ]

    def _matrix(self, m: isa.Matrix) -> list[Access]:
        # Rows between those that strides touch belong to the same tile: cover each channel tile.
        reach = (
            (m.n_x - 1) * m.s_x + (m.n_y - 1) * m.s_y + (m.n_kx - 1) * m.s_kx
            + (m.n_ky - 1) * m.s_ky + 1
        )
        dims: tuple[tuple[int, int], ...] = ()
        if m.n_c > 1 and m.s_c > reach:
            dims = ((m.n_c, m.s_c),)
        else:
            reach += (m.n_c - 1) * m.s_c
        weights = m.n_c * m.n_ky * m.n_kx * self._rows
        return [
            Access(int(isa.Buffer.OBUF), True, m.obuf, m.n_x * m.n_y, ()),
            Access(int(isa.Buffer.WBUF), False, m.wbuf, weights, ()),
            Access(int(isa.Buffer.IBUF), False, m.ibuf, reach, dims),
        ]

    def _vector(self, v: isa.Vector) -> list[Access]:
        counts = (v.n0, v.n1, v.n2, v.n3)
        found = []
        for buffer, dtype, base, strides, write in (
            (v.src1_buffer, v.src1_dtype, v.src1_base,
             (v.src1_stride0, v.src1_stride1, v.src1_stride2, v.src1_stride3), False),
            (v.src2_buffer, v.src2_dtype, v.src2_base,
             (v.src2_stride0, v.src2_stride1, v.src2_stride2, v.src2_stride3), False),
            (v.dst_buffer, v.dst_dtype, v.dst_base,
             (v.dst_stride0, v.dst_stride1, v.dst_stride2, v.dst_stride3), True),
            (v.dst2_buffer, v.dst2_dtype, v.dst2_base,
             (v.dst2_stride0, v.dst2_stride1, v.dst2_stride2, v.dst2_stride3), True),
        ):
            if buffer:
                first = v.reduce_loops if write else 0
                dims = tuple(zip(counts[first:], strides[first:], strict=True))
                size = ELEMENT_BYTES[dtype] * self._lanes
                found.append(self._bytes(int(buffer), write, base, size, dims))
        if v.scale == isa.ScaleMode.PER_LANE:
            skip = v.reduce_loops
            strides = (v.param_stride0, v.param_stride1, v.param_stride2, v.param_stride3)
            dims = tuple(zip(counts[skip:], strides[skip:], strict=True))
            found.append(_pattern(int(isa.Buffer.PARAM), False, v.param, 1, dims, 1))
        if v.table:
            found.append(Access(int(isa.Buffer.TABLE), False, v.table_index, 1, ()))
        return found

    def _dram(
        self, arg: int, write: bool, base: int, run: int, dims: tuple[tuple[int, int], ...]
    ) -> list[Access]:
        """The access through an argument register; none where it names constants."""
        if arg not in self._reach:
            return []
        memory, places = self._reach[arg]
        return [self._bytes(memory, write, base, run, (*dims, places))]

    def _bytes(
        self, memory: int, write: bool, base: int, run: int, dims: tuple[tuple[int, int], ...]
    ) -> Access:
        return _pattern(memory, write, base, run, dims, self._grains[memory])


def _pattern(
    memory: int, write: bool, base: int, run: int, dims: tuple[tuple[int, int], ...], grain: int
) -> Access:
    """A byte pattern in granules; an interval where strides are off the grid."""
    kept = [(abs(s), n, s) for n, s in dims if n > 1 and s]
    outer: list[tuple[int, int]] = []
    if kept:
        kept.sort()
        for size, n, stride in kept:
            if stride < 0:
                base += (n - 1) * stride
            # Dimensions that continue the run make it longer.
            if not outer and size <= run:
                run += (n - 1) * size
            else:
                outer.append((n, size))
        if any(s % grain for _, s in outer):
            run += sum((n - 1) * s for n, s in outer)
            outer = []
    first = base // grain
    last = (base + run - 1) // grain
    return Access(memory, write, first, last - first + 1, tuple((n, s // grain) for n, s in outer))
