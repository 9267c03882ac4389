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

from jacquard.compiler.checker.access import Accesses
from jacquard.compiler.checker.footprint import Region, intersects
from jacquard.compiler.checker.order import ENGINES, Order
from jacquard.compiler.checker.table import Ints, Mask

_CHUNK_PAIRS = 2_000_000


@dataclasses.dataclass(frozen=True)
class Column:
    """Accesses of one engine to one space, in program order."""

    instruction: Ints
    position: Ints
    start: Ints  # [accesses, engines]
    lo: Ints
    hi: Ints
    write: Mask
    source: Ints  # which of `sources`, and which row there
    row: Ints
    sources: Sequence[Accesses]

    def region(self, k: int) -> Region:
        """The bytes of access k."""
        return self.sources[int(self.source[k])].region(int(self.row[k]))


def columns(found: Sequence[Accesses], engine: Ints, order: Order) -> dict[tuple[int, int], Column]:
    """Accesses by (space, engine); `engine` of each instruction."""
    instruction = np.concatenate([a.index for a in found])
    space = np.concatenate([a.space for a in found])
    lo = np.concatenate([a.lo for a in found])
    hi = np.concatenate([a.hi for a in found])
    write = np.concatenate([np.full(len(a.index), a.write) for a in found])
    source = np.concatenate([np.full(len(a.index), k) for k, a in enumerate(found)])
    row = np.concatenate([np.arange(len(a.index)) for a in found])
    key = space * ENGINES + engine[instruction]
    result = {}
    for value in np.unique(key).tolist():
        rows = np.flatnonzero(key == value)
        rows = rows[np.argsort(instruction[rows], kind="stable")]
        at = instruction[rows]
        result[divmod(value, ENGINES)] = Column(
            at,
            order.position[at],
            order.start[at],
            lo[rows],
            hi[rows],
            write[rows],
            source[rows],
            row[rows],
            found,
        )
    return result


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
    a: Column, b: Column, first: Ints, lengths: Ints, begin: int
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
        if intersects(a.region(i), b.region(j)):
            yield i, j
