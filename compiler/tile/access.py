"""Which bytes an instruction reads and writes, as strided patterns.

A pattern is in granules: rows of IBUF, WBUF, OBUF and PARAM, tables, vectors of 8-bit elements of VMEM,
blocks of DRAM. What does not lie on granules is widened to the interval that covers it, so that
patterns may claim too much and never too little. What goes through a register that a run sets counts
at every number that it may be given.
"""

from __future__ import annotations

import operator
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

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


class Pattern(NamedTuple):
    """An access but for the granules of its address; `address`: which of the instruction's."""

    access: Access
    address: int


# What the accesses of an instruction depend on besides its addresses.
_LOAD_SHAPE = operator.attrgetter(
    "buffer", "arg", "n0", "n1", "n2", "n3", "d1", "d2", "d3", "s1", "s2", "s3",
    "before0", "after0", "before1", "after1", "gather", "index_arg", "index_limit",
)
_STORE_SHAPE = operator.attrgetter(
    "buffer", "arg", "n0", "n1", "n2", "n3", "l1", "l2", "l3", "s1", "s2", "s3"
)
_MATRIX_SHAPE = operator.attrgetter(
    "n_x", "n_y", "n_kx", "n_ky", "n_c", "s_x", "s_y", "s_kx", "s_ky", "s_c"
)
_VECTOR_SHAPE = operator.attrgetter(
    "n0", "n1", "n2", "n3", "reduce_loops", "scale", "table",
    *(f"{name}_{field}" for name in ("src1", "src2", "dst", "dst2")
      for field in ("buffer", "dtype", "stride0", "stride1", "stride2", "stride3")),
    *(f"param_stride{k}" for k in range(4)),
)


class AccessFinder:
    """Finds the accesses of instructions for one machine and a program's arguments.

    Programs have many instructions that differ in addresses alone: these are looked into once.
    """

    def __init__(self, arch: Arch, arguments: Iterable[Argument] = ()) -> None:
        self._rows, self._lanes = arch.rows, arch.lanes
        self._grains = granules(arch)
        # Register -> memory and the places that it may name. Constants are missing: nobody writes.
        memories = {SCRATCH_ARG: DRAM, CACHE_ARG: CACHE}
        self._reach = {arg: (memory, (1, 0)) for arg, memory in memories.items()}
        for a in arguments:
            if a.base in memories:
                self._reach[a.arg] = (memories[a.base], (a.count, a.step_bytes))
        self._known: dict[tuple[Any, ...], tuple[Pattern, ...]] = {}

    def accesses(self, instruction: Instruction) -> list[Access]:
        """Every memory that the instruction reads or writes."""
        found, moved = self.patterns(instruction)
        return [p.access._replace(base=p.access.base + moved[p.address]) for p in found]

    def patterns(self, instruction: Instruction) -> tuple[tuple[Pattern, ...], tuple[int, ...]]:
        """The accesses less whole granules of the addresses, and these granules by address.

        The first is one object for all instructions that have it.
        """
        if isinstance(instruction, isa.Matrix):
            return self._matrix(instruction)
        if isinstance(instruction, isa.Vector):
            return self._vector(instruction)
        if isinstance(instruction, isa.Store):
            return self._store(instruction)
        return self._load(instruction)

    def _load(self, i: isa.Load) -> tuple[tuple[Pattern, ...], tuple[int, ...]]:
        local, remote = self._grains[i.buffer], self._grains[DRAM]
        rests = i.dst % local, i.dram % remote, i.index_dram % remote
        key = (0, *_LOAD_SHAPE(i), rests)
        found = self._known.get(key)
        if found is None:
            dims = ((i.n1, i.d1), (i.n2, i.d2), (i.n3, i.d3))
            patterns = [self._bytes(0, int(i.buffer), True, rests[0], i.n0, dims)]
            inner, runs = i.n0 - i.before0 - i.after0, i.n1 - i.before1 - i.after1
            if i.gather:  # n2 = n3 = 1 and no padding
                patterns += self._dram(2, i.index_arg, False, rests[2], 4 * i.n1, ())
                runs = i.index_limit  # any of these rows
            if inner > 0 and runs > 0:
                dims = ((runs, i.s1), (i.n2, i.s2), (i.n3, i.s3))
                patterns += self._dram(1, i.arg, False, rests[1], inner, dims)
            found = self._known[key] = tuple(patterns)
        return found, (i.dst // local, i.dram // remote, i.index_dram // remote)

    def _store(self, s: isa.Store) -> tuple[tuple[Pattern, ...], tuple[int, ...]]:
        local, remote = self._grains[s.buffer], self._grains[DRAM]
        rests = s.src % local, s.dram % remote
        key = (1, *_STORE_SHAPE(s), rests)
        found = self._known.get(key)
        if found is None:
            inside = ((s.n1, s.l1), (s.n2, s.l2), (s.n3, s.l3))
            outside = ((s.n1, s.s1), (s.n2, s.s2), (s.n3, s.s3))
            found = self._known[key] = (
                self._bytes(0, int(s.buffer), False, rests[0], s.n0, inside),
                *self._dram(1, s.arg, True, rests[1], s.n0, outside),
            )
        return found, (s.src // local, s.dram // remote)

    def _matrix(self, m: isa.Matrix) -> tuple[tuple[Pattern, ...], tuple[int, ...]]:
        key = (2, *_MATRIX_SHAPE(m))
        found = self._known.get(key)
        if found is None:
            # Rows between those that strides touch belong to the same tile: cover each tile.
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
            found = self._known[key] = (
                Pattern(Access(int(isa.Buffer.OBUF), True, 0, m.n_x * m.n_y, ()), 0),
                Pattern(Access(int(isa.Buffer.WBUF), False, 0, weights, ()), 1),
                Pattern(Access(int(isa.Buffer.IBUF), False, 0, reach, dims), 2),
            )
        return found, (m.obuf, m.wbuf, m.ibuf)

    def _vector(self, v: isa.Vector) -> tuple[tuple[Pattern, ...], tuple[int, ...]]:
        moved, rests = [], []
        for buffer, base in (
            (v.src1_buffer, v.src1_base), (v.src2_buffer, v.src2_base),
            (v.dst_buffer, v.dst_base), (v.dst2_buffer, v.dst2_base),
        ):
            granule, rest = divmod(base, self._grains[buffer]) if buffer else (0, 0)
            moved.append(granule)
            rests.append(rest)
        key = (3, *_VECTOR_SHAPE(v), *rests)
        found = self._known.get(key)
        if found is None:
            found = self._known[key] = tuple(self._iterators(v, rests))
        return found, (*moved, v.param, v.table_index)

    def _iterators(self, v: isa.Vector, bases: list[int]) -> Iterator[Pattern]:
        """What VECTOR's operands touch, with these bases instead of their own."""
        counts = (v.n0, v.n1, v.n2, v.n3)
        for address, (buffer, dtype, strides, write) in enumerate((
            (v.src1_buffer, v.src1_dtype,
             (v.src1_stride0, v.src1_stride1, v.src1_stride2, v.src1_stride3), False),
            (v.src2_buffer, v.src2_dtype,
             (v.src2_stride0, v.src2_stride1, v.src2_stride2, v.src2_stride3), False),
            (v.dst_buffer, v.dst_dtype,
             (v.dst_stride0, v.dst_stride1, v.dst_stride2, v.dst_stride3), True),
            (v.dst2_buffer, v.dst2_dtype,
             (v.dst2_stride0, v.dst2_stride1, v.dst2_stride2, v.dst2_stride3), True),
        )):
            if buffer:
                first = v.reduce_loops if write else 0
                dims = tuple(zip(counts[first:], strides[first:], strict=True))
                size = ELEMENT_BYTES[dtype] * self._lanes
                yield self._bytes(address, int(buffer), write, bases[address], size, dims)
        if v.scale == isa.ScaleMode.PER_LANE:
            skip = v.reduce_loops
            strides = (v.param_stride0, v.param_stride1, v.param_stride2, v.param_stride3)
            dims = tuple(zip(counts[skip:], strides[skip:], strict=True))
            yield Pattern(_pattern(int(isa.Buffer.PARAM), False, 0, 1, dims, 1), 4)
        if v.table:
            yield Pattern(Access(int(isa.Buffer.TABLE), False, 0, 1, ()), 5)

    def _dram(
        self, address: int, arg: int, write: bool, base: int, run: int,
        dims: tuple[tuple[int, int], ...],
    ) -> list[Pattern]:
        """The access through an argument register; none where it names constants."""
        if arg not in self._reach:
            return []
        memory, places = self._reach[arg]
        return [self._bytes(address, memory, write, base, run, (*dims, places))]

    def _bytes(
        self, address: int, memory: int, write: bool, base: int, run: int,
        dims: tuple[tuple[int, int], ...],
    ) -> Pattern:
        return Pattern(_pattern(memory, write, base, run, dims, self._grains[memory]), address)


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
