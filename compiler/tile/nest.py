"""The loop nest of a contraction as a list: its items, what each fetches, whose weights stay."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence

from jacquard.compiler.tile.operand import Rect
from jacquard.compiler.tile.plan import resident_tiles
from jacquard.compiler.tile.problem import Contraction
from jacquard.compiler.tile.tiling import Plan, Split
from jacquard.proto.lib.arch import Arch


@dataclasses.dataclass(frozen=True)
class Item:
    """A group of output tiles over a chunk of the reduction in one spatial tile."""

    rect: Rect
    outputs: tuple[int, int]
    chunk: tuple[int, int]
    fetch: int
    first: bool  # chunk of its group: overwrites the accumulators
    last: bool


def items(problem: Contraction, plan: Plan) -> Iterator[Item]:
    """In the order in which they run."""
    if plan.split is not None:
        yield from _split_items(problem, plan, plan.split)
        return
    out, tiles = problem.out, problem.out.tiles
    fetch = -1
    for y in range(0, out.height, plan.height):
        for x in range(0, out.width, plan.width):
            rect = Rect(y, x, min(plan.height, out.height - y), min(plan.width, out.width - x))
            if plan.keep_inputs:
                fetch += 1
            for start in range(0, tiles, plan.output_tiles):
                group = (start, min(start + plan.output_tiles, tiles))
                if plan.keep_inputs:
                    chunks = [(0, problem.activation.tiles)]
                else:
                    spans = [problem.weight.span(o) for o in range(*group)]
                    low, high = min(s[0] for s in spans), max(s[1] for s in spans)
                    step = plan.channel_tiles
                    chunks = [(c, min(c + step, high)) for c in range(low, high, step)]
                for index, chunk in enumerate(chunks):
                    if not plan.keep_inputs:
                        fetch += 1
                    yield Item(rect, group, chunk, fetch, index == 0, index == len(chunks) - 1)


def _split_items(problem: Contraction, plan: Plan, split: Split) -> Iterator[Item]:
    """Output tiles at both ends part by part, those between for all positions."""
    tiles, width = problem.out.tiles, problem.out.width
    parts = [Rect(0, x, 1, min(split.positions, width - x))
             for x in range(0, width, split.positions)]
    first, end = split.head, tiles - split.tail
    each = ((parts, 0, first, split.group), ([Rect(0, 0, 1, width)], first, end, plan.output_tiles),
            (parts, end, tiles, split.group))
    for rects, low, high, size in each:
        for rect in rects:
            for start in range(low, high, size):
                group = (start, min(start + size, high))
                yield Item(rect, group, (0, problem.activation.tiles), 0, True, True)


def fetches(found: Sequence[Item]) -> list[tuple[Rect, tuple[int, int], int, int]]:
    """(rectangle of all its items, channel tiles, first item, end item) of each fetch."""
    each: list[tuple[Rect, tuple[int, int], int, int]] = []
    for index, item in enumerate(found):
        if item.fetch == len(each):
            each.append((item.rect, item.chunk, index, index + 1))
        else:
            rect, chunk, first, _ = each[-1]
            width = max(rect.width, item.rect.x + item.rect.width - rect.x)
            each[-1] = (dataclasses.replace(rect, width=width), chunk, first, index + 1)
    return each


def kept_tiles(problem: Contraction, plan: Plan, arch: Arch) -> range:
    """Output tiles whose weights stay in WBUF from one spatial tile, or part, to the next."""
    tiles, split = problem.out.tiles, plan.split
    if split is None:
        return range(tiles if plan.keep_weights else 0)
    first = 0 if split.head else tiles - split.tail
    room = resident_tiles(arch, problem.activation.tiles, plan.weight_tiles)
    return range(first, first + min(split.head or split.tail, room))


def last_use(found: Sequence[Item], tiles: range) -> int:
    """The last item of any of these output tiles; -1: there is none."""
    users = (i for i, item in enumerate(found)
             if max(item.outputs[0], tiles.start) < min(item.outputs[1], tiles.stop))
    return max(users, default=-1)
