"""Finds pairs of accesses to the same bytes, at least one a write, that nothing orders.

In: accesses as columns, and the clocks of `order`. Out: pairs of accesses. For an access b of
engine B, the accesses of engine A that are neither before nor after it are neighbours among A's:
clocks grow along an engine. So the pairs to look at are ranges, found by bisection, and few in a
program that synchronises often. Their bounding intervals are compared at once; only where these
meet is the exact question asked.
"""

import dataclasses
from collections.abc import Iterator, Sequence

import numpy as np
import numpy.typing as npt

from jacquard.compiler.checker.footprint import Region, intersects
from jacquard.compiler.checker.order import ENGINES, Order

_CHUNK_PAIRS = 2_000_000


@dataclasses.dataclass(frozen=True)
class Column:
    """Accesses of one engine to one space, in program order."""

    instruction: npt.NDArray[np.int64]
    position: npt.NDArray[np.int64]
    start: npt.NDArray[np.int64]  # [accesses, engines]
    lo: npt.NDArray[np.int64]
    hi: npt.NDArray[np.int64]
    write: npt.NDArray[np.bool_]
    regions: list[Region]


def columns(rows: Sequence[tuple[int, bool, Region]], order: Order) -> Column:
    """`rows`: (instruction, write, region) of one engine and space, in program order."""
    instruction = np.array([r[0] for r in rows], dtype=np.int64)
    return Column(
        instruction=instruction,
        position=np.array([order.position[r[0]] for r in rows], dtype=np.int64),
        start=np.array([order.start[r[0]] for r in rows], dtype=np.int64).reshape(-1, ENGINES),
        lo=np.array([r[2].lo for r in rows], dtype=np.int64),
        hi=np.array([r[2].hi for r in rows], dtype=np.int64),
        write=np.array([r[1] for r in rows], dtype=np.bool_),
        regions=[r[2] for r in rows],
    )


def races(a: Column, b: Column, engine_a: int, engine_b: int) -> Iterator[tuple[int, int]]:
    """Unordered conflicting pairs as (row of a, row of b)."""
    if not (a.write.any() or b.write.any()):
        return
    # Rows of a in [first, last) neither finish before b starts nor start after b has finished.
    first = np.searchsorted(a.position, b.start[:, engine_a], side="left")
    last = np.searchsorted(a.start[:, engine_b], b.position, side="right")
    lengths = np.maximum(last - first, 0)
    begin = 0
    ends = np.cumsum(lengths)
    while begin < len(lengths):
        done = ends[begin - 1] if begin else 0
        end = max(begin + 1, int(np.searchsorted(ends, done + _CHUNK_PAIRS, side="right")))
        yield from _chunk(a, b, first[begin:end], lengths[begin:end], begin)
        begin = end


def _chunk(
    a: Column, b: Column, first: npt.NDArray[np.int64], lengths: npt.NDArray[np.int64], begin: int
) -> Iterator[tuple[int, int]]:
    total = int(lengths.sum())
    if total == 0:
        return
    row_b = np.repeat(np.arange(len(lengths)), lengths)
    before = np.cumsum(lengths) - lengths
    row_a = np.arange(total) - before[row_b] + first[row_b]
    row_b += begin
    meet = (
        (a.lo[row_a] < b.hi[row_b])
        & (b.lo[row_b] < a.hi[row_a])
        & (a.write[row_a] | b.write[row_b])
    )
    for i, j in zip(row_a[meet].tolist(), row_b[meet].tolist(), strict=True):
        if intersects(a.regions[i], b.regions[j]):
            yield i, j
