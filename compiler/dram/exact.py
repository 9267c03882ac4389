"""Offsets within a given capacity, by search over all plans that matter.

In: tensors, their sizes in units of the alignment, a capacity. Out: offsets, or the answer that
there are none, or that the search was too long.

Any plan can be pushed down until every tensor stands on another that is alive with it, or at 0, and
can be read off in order of offset. So tensors are placed one after another, each on what is placed
of its contemporaries, at offsets that never fall (Moffitt, MiniMalloc, ASPLOS 2023). A branch ends
where, at some time, what is placed and what remains exceed the capacity, and where it leaves a
place below in which a tensor would have fitted. The limit counts branches, not seconds, so equal
inputs give equal plans on every machine.
"""

from __future__ import annotations

import dataclasses
import enum
from collections.abc import Iterator, Sequence

import numpy as np
import numpy.typing as npt

Ints = npt.NDArray[np.int64]
_FAR = 1 << 60


class Order(enum.Enum):
    """Which of the possible next tensors is tried first; of equals, the largest."""

    EARLY = "lowest, first to live"
    AREA = "lowest, largest size times length"
    LATE = "lowest, last to die"


@dataclasses.dataclass(frozen=True)
class Live:
    """A tensor of `size` > 0 units, alive in layers [first, end)."""

    size: int
    first: int
    end: int


@dataclasses.dataclass(frozen=True)
class Found:
    """Offsets in the order of the input, or None; `complete`: None means that there are none."""

    offsets: tuple[int, ...] | None
    branches: int
    complete: bool


@dataclasses.dataclass
class _Node:
    """A partial plan, and the tensors that may come next with their offsets.

    floors int64[tensors]: on top of what is placed of its contemporaries; rest int64[moments]: sum
    of what is not placed; offsets int64[tensors], -1 where not placed.
    """

    floors: Ints
    rest: Ints
    offsets: Ints
    choices: Iterator[tuple[int, int]]


def fit(tensors: Sequence[Live], capacity: int, limit: int, order: Order) -> Found:
    """Searches offsets such that all ends lie within `capacity`, in at most `limit` branches."""
    if not tensors:
        return Found((), 0, complete=True)
    problem = _Problem(tensors, capacity, order)
    stack = [problem.root()]
    branches = 0
    while stack:
        node = stack[-1]
        choice = next(node.choices, None)
        if choice is None:
            stack.pop()
            continue
        if branches == limit:
            return Found(None, branches, complete=False)
        branches += 1
        placed = problem.place(node, *choice)
        if placed is None:
            continue
        if placed.offsets.min() >= 0:
            return Found(tuple(placed.offsets.tolist()), branches, complete=True)
        stack.append(placed)
    return Found(None, branches, complete=True)


class _Problem:
    """What does not change during a search."""

    def __init__(self, tensors: Sequence[Live], capacity: int, order: Order) -> None:
        self.capacity = capacity
        self.sizes = np.array([t.size for t in tensors])
        first, end = (np.array([getattr(t, name) for t in tensors]) for name in ("first", "end"))
        # What is live grows only where a tensor begins.
        moments = np.unique(first)[:, None]
        self.alive = (first <= moments) & (moments < end)  # [moments, tensors]
        self.together = (first < end[:, None]) & (first[:, None] < end)
        ranks = {
            Order.EARLY: (-self.sizes, first),
            Order.AREA: (-self.sizes, -self.sizes * (end - first)),
            Order.LATE: (-self.sizes, -end),
        }[order]
        # Place of each tensor in the order in which choices of one offset are tried.
        self.rank = np.empty(len(tensors), np.int64)
        self.rank[np.lexsort(ranks)] = np.arange(len(tensors))

    def root(self) -> _Node:
        rest = self.alive @ self.sizes
        floors, offsets = np.zeros_like(self.sizes), np.full_like(self.sizes, -1)
        fits = rest.max() <= self.capacity
        choices = self._choices(floors, offsets, -1, 0) if fits else iter(())
        return _Node(floors, rest, offsets, choices)

    def place(self, node: _Node, index: int, offset: int) -> _Node | None:
        """The node with that tensor placed; None where the others have no room."""
        size = self.sizes[index]
        rest = node.rest - size * self.alive[:, index]
        offsets = node.offsets.copy()
        offsets[index] = offset
        floors = np.where(self.together[index], np.maximum(node.floors, offset + size), node.floors)
        # At each moment, the lowest place of what is not placed.
        lowest = np.where(self.alive & (offsets < 0), floors, _FAR).min(axis=1)
        if ((rest > 0) & (np.maximum(lowest, offset) + rest > self.capacity)).any():
            return None
        return _Node(floors, rest, offsets, self._choices(floors, offsets, index, offset))

    def _choices(
        self, floors: Ints, offsets: Ints, last: int, least: int
    ) -> Iterator[tuple[int, int]]:
        """(tensor, offset) of what may come next, in the order in which to try it."""
        left = np.flatnonzero(offsets < 0)
        if not left.size:
            return iter(())
        at = floors[left]
        # From this offset on a tensor that is left would have fitted below.
        ceiling = (at + self.sizes[left]).min()
        found = left[(at < ceiling) & ((at > least) | (at == least) & (left > last))]
        found = found[np.lexsort((self.rank[found], floors[found]))]
        return iter(list(zip(found.tolist(), floors[found].tolist(), strict=True)))
