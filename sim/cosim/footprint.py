"""Which bytes an instruction reads and writes.

Computed from the fields alone and byte by byte, so that tokens can be derived from overlaps and a
difference in memory can be traced back to the instruction that made it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from jacquard.proto import npu_isa as isa
from jacquard.proto.lib.arch import Arch

Indices = npt.NDArray[np.int64]
DRAM = 0  # beside the numbers of isa.Buffer
_M64 = (1 << 64) - 1
_ITEM_BYTES = (1, 1, 2, 2, 4)


class Access(NamedTuple):
    """Byte addresses of one operand. memory: DRAM or a number of isa.Buffer."""

    memory: int
    addresses: Indices
    write: bool


def grid(base: int, counts: Sequence[int], strides: Sequence[int], block: int) -> Indices:
    """All `base + sum(i * stride) + b`, b in [0, block): int64[product of counts, block]."""
    result = np.array([base], np.int64)
    for count, stride in zip(counts, strides, strict=True):
        if count > 1:
            steps = np.arange(0, count * stride, stride) if stride else np.zeros(count, np.int64)
            result = (result[:, None] + steps).reshape(-1)
    return result[:, None] + np.arange(block)


def footprint(
    kind: type[isa.Instruction],
    f: Any,
    arch: Arch,
    args: Sequence[int],
    indices: Sequence[int] = (),
) -> list[Access]:
    """Accesses of a legal instruction in range; f has the instruction's fields as attributes.

    indices: of a gather, what stands in its list.
    """
    if kind is isa.Load:
        return _load(f, args, indices)
    if kind is isa.Store:
        return _store(f, args)
    if kind is isa.Matrix:
        return _matrix(f, arch)
    if kind is isa.Vector:
        return vector(f, arch)
    return []


def _load(f: Any, args: Sequence[int], indices: Sequence[int]) -> list[Access]:
    target = grid(f.dst, (f.n1, f.n2, f.n3), (f.d1, f.d2, f.d3), f.n0).reshape(-1)
    result = [Access(f.buffer, target, True)]
    run, runs = f.n0 - f.before0 - f.after0, f.n1 - f.before1 - f.after1
    if f.gather:
        start = args[f.arg] + f.dram
        rows = np.array([(start + index * f.s1) & _M64 for index in indices], np.int64)
        source = np.unique(rows[:, None] + np.arange(f.n0))
        result.append(Access(DRAM, source, False))
        first = (args[f.index_arg] + f.index_dram) & _M64
        result.append(Access(DRAM, np.arange(first, first + 4 * f.n1), False))
    elif run and runs:
        start = (args[f.arg] + f.dram) & _M64
        source = grid(start, (runs, f.n2, f.n3), (f.s1, f.s2, f.s3), run)
        result.append(Access(DRAM, source.reshape(-1), False))
    return result


def _store(f: Any, args: Sequence[int]) -> list[Access]:
    counts = (f.n1, f.n2, f.n3)
    start = (args[f.arg] + f.dram) & _M64
    return [
        Access(f.buffer, grid(f.src, counts, (f.l1, f.l2, f.l3), f.n0).reshape(-1), False),
        Access(DRAM, grid(start, counts, (f.s1, f.s2, f.s3), f.n0).reshape(-1), True),
    ]


def _matrix(f: Any, arch: Arch) -> list[Access]:
    counts = (f.n_x, f.n_y, f.n_kx, f.n_ky, f.n_c)
    strides = (f.s_x, f.s_y, f.s_kx, f.s_ky, f.s_c)
    rows = np.unique(grid(f.ibuf, counts, strides, 1))
    acts = (rows[:, None] * arch.rows + np.arange(arch.rows)).reshape(-1)
    depth = f.n_kx * f.n_ky * f.n_c * arch.rows
    weights = np.arange(f.wbuf * arch.wbuf_row_bytes, (f.wbuf + depth) * arch.wbuf_row_bytes)
    row_bytes = 4 * arch.cols
    sums = np.arange(f.obuf * row_bytes, (f.obuf + f.n_x * f.n_y) * row_bytes)
    result = [
        Access(isa.Buffer.IBUF, acts, False),
        Access(isa.Buffer.WBUF, weights, False),
        Access(isa.Buffer.OBUF, sums, True),
    ]
    if f.accumulate:
        result.append(Access(isa.Buffer.OBUF, sums, False))
    return result


def iterator(f: Any, which: str, arch: Arch, reduced: int) -> Indices:
    """Bytes of a vector operand `[iterations, bytes of a vector]`, loops from `reduced` on."""
    counts = (f.n0, f.n1, f.n2, f.n3)[reduced:]
    strides = tuple(getattr(f, f"{which}_stride{n}") for n in range(reduced, 4))
    size = arch.lanes * _ITEM_BYTES[getattr(f, f"{which}_dtype")]
    return grid(getattr(f, f"{which}_base"), counts, strides, size)


def vector(f: Any, arch: Arch) -> list[Access]:
    """Accesses of a VECTOR instruction; lanes that a mask leaves out are counted as written."""
    result = []
    for which in ("src1", "src2"):
        if buffer := getattr(f, f"{which}_buffer"):
            result.append(Access(buffer, iterator(f, which, arch, 0).reshape(-1), False))
    for which in ("dst", "dst2"):
        if buffer := getattr(f, f"{which}_buffer"):
            addresses = iterator(f, which, arch, f.reduce_loops).reshape(-1)
            result.append(Access(buffer, addresses, True))
    if f.scale == isa.ScaleMode.PER_LANE:
        counts = (f.n0, f.n1, f.n2, f.n3)[f.reduce_loops :]
        strides = tuple(getattr(f, f"param_stride{n}") for n in range(f.reduce_loops, 4))
        rows = np.unique(grid(f.param, counts, strides, 1))
        row_bytes = 8 * arch.lanes
        addresses = (rows[:, None] * row_bytes + np.arange(row_bytes)).reshape(-1)
        result.append(Access(isa.Buffer.PARAM, addresses, False))
    if f.table:
        row_bytes = arch.table_row_bytes
        addresses = np.arange(f.table_index * row_bytes, (f.table_index + 1) * row_bytes)
        result.append(Access(isa.Buffer.TABLE, addresses, False))
    return result
