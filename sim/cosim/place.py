"""Random nested strides that stay inside a window: the part that all random instructions share."""

from __future__ import annotations

import dataclasses
import random
from collections.abc import Sequence


@dataclasses.dataclass(frozen=True)
class Window:
    """Half-open range of byte (or row) addresses of one memory."""

    start: int
    end: int

    @property
    def size(self) -> int:
        return self.end - self.start


def log_uniform(rng: random.Random, highest: int) -> int:
    """An integer in [1, highest], small ones as likely as large ones."""
    return min(highest, int(2 ** rng.uniform(0, highest.bit_length())))


def counts(rng: random.Random, dimensions: int, most: int) -> list[int]:
    """Loop counts whose product is at most `most`; many of them are 1."""
    left = max(1, most)
    result = [1] * dimensions
    for which in rng.sample(range(dimensions), dimensions):
        if rng.random() < 0.65:
            result[which] = log_uniform(rng, left)
            left //= result[which]
    return result


def strides_apart(
    rng: random.Random, loop_counts: Sequence[int], block: int, room: int, unit: int
) -> list[int] | None:
    """Strides under which no two blocks overlap, in multiples of unit; None if there is no room.

    Loops nest in a random order, now and then with gaps, now and then backwards.
    """
    order = list(range(len(loop_counts)))
    if rng.random() < 0.6:
        rng.shuffle(order)
    gaps = rng.random() < 0.4
    strides = [0] * len(loop_counts)
    extent = block
    for which in order:
        if loop_counts[which] > 1:
            stride = -(-extent // unit) * unit
            if gaps and rng.random() < 0.6:
                stride += unit * rng.randint(1, 5)
            extent += (loop_counts[which] - 1) * stride
            strides[which] = -stride if rng.random() < 0.2 else stride
    return strides if extent <= room else None


def strides_any(
    rng: random.Random, loop_counts: Sequence[int], block: int, room: int, unit: int
) -> list[int]:
    """Any strides in multiples of unit that keep the blocks in the room: zero, overlapping, ..."""
    left = room - block
    strides = [0] * len(loop_counts)
    for which in rng.sample(range(len(loop_counts)), len(loop_counts)):
        steps = loop_counts[which] - 1
        if steps:
            highest = left // steps // unit
            kind = rng.random()
            if kind < 0.1:
                size = 0
            elif kind < 0.6:
                size = min(highest, 1 if rng.random() < 0.5 else -(-block // unit))
            else:
                size = rng.randint(0, highest)
            strides[which] = size * unit * (-1 if rng.random() < 0.25 else 1)
            left -= abs(strides[which]) * steps
    return strides


def base_for(
    rng: random.Random,
    window: Window,
    loop_counts: Sequence[int],
    strides: Sequence[int],
    block: int,
    unit: int,
) -> int:
    """A base, multiple of unit, that keeps every block in the window (there must be room)."""
    below = sum(
        -(n - 1) * s for n, s in zip(loop_counts, strides, strict=True) if s < 0
    )
    above = sum((n - 1) * s for n, s in zip(loop_counts, strides, strict=True) if s > 0)
    lowest = -(-(window.start + below) // unit)
    highest = (window.end - block - above) // unit
    kind = rng.random()
    if kind < 0.1:
        return lowest * unit
    if kind < 0.2:
        return highest * unit
    return rng.randint(lowest, highest) * unit


def unused_strides(
    rng: random.Random, loop_counts: Sequence[int], strides: list[int], bits: int
) -> None:
    """Strides of loops that run once never count: puts anything into some of them."""
    for which, count in enumerate(loop_counts):
        if count == 1 and rng.random() < 0.2:
            strides[which] = rng.randint(-(1 << (bits - 1)), (1 << (bits - 1)) - 1)
