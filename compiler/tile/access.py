"""Which bytes an instruction reads and writes, as strided patterns.

A pattern is in granules: rows of IBUF, WBUF, OBUF and PARAM, vectors of 8-bit elements of VMEM,
blocks of DRAM. What does not lie on granules is widened to the interval that covers it, so that
patterns may claim too much and never too little.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator

from jacquard.compiler.tile.ir import CONSTANT_ARG, Instruction
from jacquard.proto import npu_isa as isa
from jacquard.proto.lib.arch import Arch

DRAM = 0  # the activations' segment; on-chip memories have their buffer's number
ELEMENT_BYTES = {isa.Dtype.S8: 1, isa.Dtype.U8: 1, isa.Dtype.S16: 2, isa.Dtype.U16: 2,
                 isa.Dtype.S32: 4}


@dataclasses.dataclass(frozen=True, slots=True)
class Access:
    """Granules base + sum(i * stride) for i < count of each dimension, `run` consecutive ones each."""

    memory: int
    write: bool
    base: int
    run: int
    dims: tuple[tuple[int, int], ...]  # (count, stride)

    @property
    def end(self) -> int:
        """One past the last granule."""
        return self.base + self.run + sum((n - 1) * s for n, s in self.dims if s > 0)


def granules(arch: Arch) -> dict[int, int]:
    """Memory -> bytes of a granule."""
    return {
        DRAM: arch.rows, int(isa.Buffer.IBUF): arch.ibuf_row_bytes,
        int(isa.Buffer.WBUF): arch.wbuf_row_bytes, int(isa.Buffer.OBUF): arch.obuf_row_bytes,
        int(isa.Buffer.VMEM): arch.lanes, int(isa.Buffer.PARAM): arch.param_row_bytes,
    }


def accesses(instruction: Instruction, arch: Arch) -> Iterator[Access]:
    """Every memory that the instruction reads or writes."""
    grains = granules(arch)
    if isinstance(instruction, isa.Load):
        i = instruction
        dims = ((i.n1, i.d1), (i.n2, i.d2), (i.n3, i.d3))
        yield _bytes(int(i.buffer), True, i.dst, i.n0, dims, grains)
        inner, runs = i.n0 - i.before0 - i.after0, i.n1 - i.before1 - i.after1
        if i.arg != CONSTANT_ARG and inner > 0 and runs > 0:
            yield _bytes(DRAM, False, i.dram, inner,
                         ((runs, i.s1), (i.n2, i.s2), (i.n3, i.s3)), grains)
    elif isinstance(instruction, isa.Store):
        s = instruction
        yield _bytes(int(s.buffer), False, s.src, s.n0,
                     ((s.n1, s.l1), (s.n2, s.l2), (s.n3, s.l3)), grains)
        yield _bytes(DRAM, True, s.dram, s.n0, ((s.n1, s.s1), (s.n2, s.s2), (s.n3, s.s3)), grains)
    elif isinstance(instruction, isa.Matrix):
        yield from _matrix(instruction, arch)
    else:
        yield from _vector(instruction, arch, grains)


def _matrix(m: isa.Matrix, arch: Arch) -> Iterator[Access]:
    positions = m.n_x * m.n_y
    yield Access(int(isa.Buffer.OBUF), True, m.obuf, positions, ())
    weights = m.n_c * m.n_ky * m.n_kx * arch.rows
    yield Access(int(isa.Buffer.WBUF), False, m.wbuf, weights, ())
    # Rows between those that strides touch belong to the same tile: cover each channel tile whole.
    reach = (
        (m.n_x - 1) * m.s_x + (m.n_y - 1) * m.s_y + (m.n_kx - 1) * m.s_kx + (m.n_ky - 1) * m.s_ky
    )
    if m.s_c > reach:
        yield Access(int(isa.Buffer.IBUF), False, m.ibuf, reach + 1, ((m.n_c, m.s_c),))
    else:
        yield Access(int(isa.Buffer.IBUF), False, m.ibuf, reach + 1 + (m.n_c - 1) * m.s_c, ())


def _vector(v: isa.Vector, arch: Arch, grains: dict[int, int]) -> Iterator[Access]:
    counts = (v.n0, v.n1, v.n2, v.n3)
    skip = v.reduce_loops
    for prefix, write in (("src1", False), ("src2", False), ("dst", True), ("dst2", True)):
        buffer = int(getattr(v, f"{prefix}_buffer"))
        if not buffer:
            continue
        size = ELEMENT_BYTES[getattr(v, f"{prefix}_dtype")] * arch.lanes
        first = skip if write else 0
        dims = tuple(
            (counts[k], getattr(v, f"{prefix}_stride{k}")) for k in range(first, 4)
        )
        yield _bytes(buffer, write, getattr(v, f"{prefix}_base"), size, dims, grains)
    if v.scale == isa.ScaleMode.PER_LANE:
        dims = tuple((counts[k], getattr(v, f"param_stride{k}")) for k in range(skip, 4))
        yield _bytes(int(isa.Buffer.PARAM), False, v.param, 1, dims, {int(isa.Buffer.PARAM): 1})


def _bytes(
    memory: int,
    write: bool,
    base: int,
    run: int,
    dims: tuple[tuple[int, int], ...],
    grains: dict[int, int],
) -> Access:
    """A byte pattern in granules; an interval where strides are off the grid."""
    grain = grains[memory]
    kept = [(n, s) for n, s in dims if n > 1 and s]
    for n, s in kept:
        if s < 0:
            base += (n - 1) * s
    kept = sorted(((n, abs(s)) for n, s in kept), key=lambda d: d[1])
    # Dimensions that continue the run make it longer.
    outer: list[tuple[int, int]] = []
    for n, s in kept:
        if not outer and s <= run:
            run += (n - 1) * s
        else:
            outer.append((n, s))
    if any(s % grain for _, s in outer):
        run += sum((n - 1) * s for n, s in outer)
        outer = []
    first = base // grain
    last = (base + run - 1) // grain
    return Access(memory, write, first, last - first + 1, tuple((n, s // grain) for n, s in outer))
