"""Sets of bytes that an instruction touches, and exact questions about them.

A `Region` is a run of bytes repeated under loops with strides, in one space (an on-chip memory or a
DRAM segment). Questions are answered from bounding intervals where these suffice, then from the
residues modulo a common stride, and at last by listing the runs.
"""

import functools
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

Dim = tuple[int, int]  # (count, stride in bytes)

# More runs than this are not listed; the bounding interval then stands for the set.
_MOST_RUNS = 4_000_000


class Region(NamedTuple):
    """Bytes [lo, hi) at most; dims have count > 1 and stride > run, smallest stride first."""

    lo: int
    hi: int
    run: int
    dims: tuple[Dim, ...]


def region(base: int, run: int, dims: tuple[Dim, ...]) -> Region:
    """The union of `run` bytes at base + sum of index x stride; any strides, negative too."""
    lo = base
    found: list[tuple[int, int]] = []
    span = run
    for count, stride in dims:
        if count > 1 and stride:
            if stride < 0:
                stride = -stride
                lo -= (count - 1) * stride
            span += (count - 1) * stride
            found.append((stride, count))
    hi = lo + span
    if not found:
        return Region(lo, hi, run, ())
    found.sort()
    kept: list[Dim] = []
    for stride, count in found:
        if not kept:
            if stride <= run:  # runs touch or overlap: one long run
                run += (count - 1) * stride
                continue
        else:
            below, step = kept[-1]
            if stride % step == 0 and stride <= below * step:  # one long loop, for the same reason
                kept[-1] = (below + (count - 1) * (stride // step), step)
                continue
        kept.append((count, stride))
    return Region(lo, hi, run, tuple(kept))


def writes_once(run: int, dims: tuple[Dim, ...]) -> bool:
    """Whether no byte is covered twice by runs of `run` bytes under `dims`. Exact."""
    extent = run
    nested = True
    for stride, count in sorted((abs(s), n) for n, s in dims if n > 1):
        nested = nested and stride >= extent
        extent += (count - 1) * stride
    if nested:
        return True
    total = 1
    for count, _ in dims:
        total *= count
    if total * run > extent:
        return False  # more bytes than places
    if total > _MOST_RUNS:
        return False
    starts = np.sort(_starts(0, tuple((n, abs(s)) for n, s in dims if n > 1)))
    return bool((np.diff(starts) >= run).all())


def intersects(a: Region, b: Region) -> bool:
    """Whether a and b share a byte. Exact up to 4 M runs, else True where the intervals meet."""
    if a.hi <= b.lo or b.hi <= a.lo:
        return False
    if not a.dims and not b.dims:
        return True
    return _intersects(b.lo - a.lo, a.run, a.dims, b.run, b.dims)


@functools.lru_cache(maxsize=1 << 16)
def _intersects(
    shift: int, run_a: int, dims_a: tuple[Dim, ...], run_b: int, dims_b: tuple[Dim, ...]
) -> bool:
    """Region a starts at 0, b at `shift`; their bounding intervals meet."""
    for period in {s for _, s in dims_a + dims_b}:
        if _apart_modulo(period, shift, run_a, dims_a, run_b, dims_b):
            return False
    if max(_runs(dims_a), _runs(dims_b)) > _MOST_RUNS:
        return True
    starts_a = np.unique(_starts(0, dims_a))
    starts_b = _starts(shift, dims_b)
    # The first run of a that ends behind the start of each run of b: does it begin before b's end?
    at = np.searchsorted(starts_a, starts_b - run_a, side="right")
    inside = at < len(starts_a)
    return bool((starts_a[at[inside]] < starts_b[inside] + run_b).any())


def _apart_modulo(
    period: int,
    shift: int,
    run_a: int,
    dims_a: tuple[Dim, ...],
    run_b: int,
    dims_b: tuple[Dim, ...],
) -> bool:
    """True proves that a and b are disjoint: they occupy disjoint arcs modulo `period`."""
    extents = []
    for run, dims in ((run_a, dims_a), (run_b, dims_b)):
        extent = run
        for count, stride in dims:
            if stride % period:
                extent += (count - 1) * stride
        extents.append(extent)
    begin = shift % period
    return begin >= extents[0] and begin + extents[1] <= period


def _runs(dims: tuple[Dim, ...]) -> int:
    total = 1
    for count, _ in dims:
        total *= count
    return total


def _starts(base: int, dims: tuple[Dim, ...]) -> npt.NDArray[np.int64]:
    starts = np.array([base], dtype=np.int64)
    for count, stride in dims:
        starts = (starts[:, None] + np.arange(count, dtype=np.int64) * stride).reshape(-1)
    return starts
