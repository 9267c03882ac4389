"""Offsets by best fit, one tensor after another, and again in better orders.

In: sizes, and for each tensor those that are alive with it at some time. Out: offsets. Largest
first is the baseline (greedy by size; Pisarchyk & Lee, arXiv:2001.03288, algorithm 3). Where some
then end above the bound, they are drawn forward in the order and all are placed again (squeaky
wheel optimization; Joslin & Clements, JAIR 10, 1999): a few rounds nearly always reach the bound.
"""

from __future__ import annotations

from collections.abc import Sequence

ROUNDS = 60  # of new orders: a tenth of a second for 300 tensors


def largest_first(sizes: Sequence[int]) -> list[int]:
    """Indices; the input's position breaks ties, so that equal inputs give equal plans."""
    return sorted(range(len(sizes)), key=lambda i: (-sizes[i], i))


def best_fit(
    sizes: Sequence[int], together: Sequence[Sequence[int]], order: Sequence[int]
) -> list[int]:
    """Each in the smallest gap that holds it between those alive with it, else behind the last."""
    offsets = [-1] * len(sizes)
    for i in order:
        size, end = sizes[i], 0
        best_gap: int | None = None
        best_offset = 0
        for offset, other_end in sorted(
            (offsets[j], offsets[j] + sizes[j]) for j in together[i] if offsets[j] >= 0
        ):
            gap = offset - end
            if gap >= size and (best_gap is None or gap < best_gap):
                best_gap, best_offset = gap, end
            end = max(end, other_end)
        offsets[i] = end if best_gap is None else best_offset
    return offsets


def total(offsets: Sequence[int], sizes: Sequence[int]) -> int:
    return max((o + s for o, s in zip(offsets, sizes, strict=True)), default=0)


def improved(
    sizes: Sequence[int], together: Sequence[Sequence[int]], offsets: list[int], bound: int
) -> list[int]:
    """The best of `offsets` and ROUNDS plans after it; stops at one that ends at the bound.

    offsets: of best_fit in the order largest_first.
    """
    order, best = largest_first(sizes), offsets
    for _ in range(ROUNDS):
        for i in [i for i in order if offsets[i] + sizes[i] > bound]:
            # Half way to the front: what does not suffice the first time does the second.
            at = order.index(i)
            order.insert(at // 2, order.pop(at))
        offsets = best_fit(sizes, together, order)
        if total(offsets, sizes) < total(best, sizes):
            best = offsets
        if total(best, sizes) <= bound:
            break
    return best
