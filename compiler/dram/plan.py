"""Offsets of tensors in one DRAM segment, so that tensors alive at once do not overlap.

In: tensors with their sizes and live ranges in layers. Out: a `Plan`, reported beside the sum of
all sizes and the most that is live at once. Baseline: greedy by size (best_fit.py). Where that is
above the lower bound, better orders are tried; where they are, too, the search in `exact` takes
over, from the lower bound upwards. The smallest plan counts.
"""

import dataclasses
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from jacquard.compiler.dram import best_fit, exact

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
    together = _together(items)
    offsets = best_fit.best_fit(sizes, together, best_fit.largest_first(sizes))
    greedy = planned = best_fit.total(offsets, sizes)
    if planned > lower_bound:
        offsets = best_fit.improved(sizes, together, offsets, lower_bound)
        planned = best_fit.total(offsets, sizes)
    if planned > lower_bound:
        better = _searched(items, sizes, alignment, lower_bound, planned)
        if better is not None:
            offsets, planned = better, best_fit.total(better, sizes)
    return Plan(
        allocations=tuple(map(Allocation, items, offsets)),
        alignment=alignment,
        naive_bytes=sum(sizes),
        lower_bound_bytes=lower_bound,
        greedy_bytes=greedy,
        planned_bytes=planned,
    )


def _searched(
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
            limit = min(left, SEARCH_BRANCHES // (2 * len(exact.Order)))
            found = exact.fit(lives, capacity, limit, order)
            left -= found.branches
            if found.complete:
                break
        if found.offsets is None:
            low = capacity + 1
        else:
            best = [0] * len(items)
            for i, offset in zip(solid, found.offsets, strict=True):
                best[i] = offset * alignment
            high = best_fit.total(best, sizes) // alignment
        capacity = (low + high) // 2
    return best


def _together(items: Sequence[Tensor]) -> list[list[int]]:
    """Of each the others that are alive with it at some time."""
    return [
        [
            j
            for j, other in enumerate(items)
            if j != i
            and (other.first_layer < item.end_layer and item.first_layer < other.end_layer)
        ]
        for i, item in enumerate(items)
    ]


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
