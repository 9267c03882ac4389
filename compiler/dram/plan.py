"""Offsets of tensors in one DRAM segment, so that tensors alive at once do not overlap.

In: tensors with their sizes and live ranges in layers. Out: a `Plan`, reported beside the sum of
all sizes and the most that is live at once. Baseline: greedy by size with best fit (Pisarchyk &
Lee, arXiv:2001.03288, algorithm 3). Where that is above the lower bound the search in `exact` takes
over, from the lower bound upwards; its answer counts where it is below the baseline.
"""

import dataclasses
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from jacquard.compiler.dram import exact

SEARCH_BRANCHES = 8000  # in all: about a second for 300 tensors


class Tensor(NamedTuple):
    """Live in layers [first_layer, end_layer)."""

    name: str
    size_bytes: int
    first_layer: int
    end_layer: int


class Allocation(NamedTuple):
    """A tensor and its byte offset in the segment."""

    tensor: Tensor
    offset_bytes: int


@dataclasses.dataclass(frozen=True)
class Plan:
    """Allocations in the order of the input; totals count sizes rounded up to the alignment."""

    allocations: tuple[Allocation, ...]
    alignment: int
    naive_bytes: int
    lower_bound_bytes: int
    greedy_bytes: int
    planned_bytes: int

    def offsets(self) -> dict[str, int]:
        """Byte offset of each tensor by name."""
        return {a.tensor.name: a.offset_bytes for a in self.allocations}


def plan(tensors: Iterable[tuple[str, int, int, int]], alignment: int = 64) -> Plan:
    """Places all tensors; deterministic.

    Raises ValueError for a repeated name, a negative size, an empty live range, or an alignment
    that is not positive.
    """
    items = [Tensor(*t) for t in tensors]
    if alignment <= 0:
        raise ValueError(f"alignment must be positive, got {alignment}")
    if len({t.name for t in items}) != len(items):
        raise ValueError("tensor names must be unique")
    for t in items:
        if t.size_bytes < 0 or t.first_layer >= t.end_layer:
            raise ValueError(
                f"{t.name}: size must not be negative and the live range not empty, got {t}"
            )
    sizes = [-(-t.size_bytes // alignment) * alignment for t in items]
    lower_bound = _lower_bound(items, sizes)
    # The input's position breaks ties, so that equal inputs give equal plans.
    offsets = _place(items, sizes, sorted(range(len(items)), key=lambda i: (-sizes[i], i)))
    greedy = planned = _total(offsets, sizes)
    if planned > lower_bound:
        better = _improved(items, sizes, alignment, lower_bound, planned)
        if better is not None:
            offsets, planned = better, _total(better, sizes)
    return Plan(
        allocations=tuple(map(Allocation, items, offsets)),
        alignment=alignment,
        naive_bytes=sum(sizes),
        lower_bound_bytes=lower_bound,
        greedy_bytes=greedy,
        planned_bytes=planned,
    )


def _improved(
    items: Sequence[Tensor], sizes: Sequence[int], alignment: int, lower_bound: int, planned: int
) -> list[int] | None:
    """Offsets of a smaller plan than `planned`, the smallest that the search finds, or None."""
    solid = [i for i, size in enumerate(sizes) if size]
    lives = [
        exact.Live(sizes[i] // alignment, items[i].first_layer, items[i].end_layer) for i in solid
    ]
    best: list[int] | None = None
    # The lower bound itself first: it is reached nearly always, and bounds the search best.
    low, high, capacity = lower_bound // alignment, planned // alignment, lower_bound // alignment
    left = SEARCH_BRANCHES
    while low < high and left:
        for order in exact.Order:
            found = exact.fit(lives, capacity, min(left, SEARCH_BRANCHES // 4), order)
            left -= found.branches
            if found.complete:
                break
        if found.offsets is None:
            low = capacity + 1
        else:
            best = [0] * len(items)
            for i, offset in zip(solid, found.offsets, strict=True):
                best[i] = offset * alignment
            high = _total(best, sizes) // alignment
        capacity = (low + high) // 2
    return best


def _place(items: Sequence[Tensor], sizes: Sequence[int], order: Sequence[int]) -> list[int]:
    """Best fit: the smallest gap between tensors alive at the same time, else behind the last."""
    offsets = [0] * len(items)
    placed: list[int] = []  # in order of offset
    for i in order:
        end = 0
        best_gap: int | None = None
        best_offset = 0
        for j in placed:
            if (
                items[j].first_layer >= items[i].end_layer
                or items[i].first_layer >= items[j].end_layer
            ):
                continue
            gap = offsets[j] - end
            if gap >= sizes[i] and (best_gap is None or gap < best_gap):
                best_gap, best_offset = gap, end
            end = max(end, offsets[j] + sizes[j])
        offsets[i] = end if best_gap is None else best_offset
        at = next((k for k, j in enumerate(placed) if offsets[j] > offsets[i]), len(placed))
        placed.insert(at, i)
    return offsets


def _total(offsets: Sequence[int], sizes: Sequence[int]) -> int:
    return max((o + s for o, s in zip(offsets, sizes, strict=True)), default=0)


def _lower_bound(items: Sequence[Tensor], sizes: Sequence[int]) -> int:
    # What is live changes only where a tensor begins.
    return max(
        (
            sum(
                s
                for u, s in zip(items, sizes, strict=True)
                if u.first_layer <= t.first_layer < u.end_layer
            )
            for t in items
        ),
        default=0,
    )
