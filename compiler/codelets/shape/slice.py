"""Slice: starts, ends, axes and steps as inputs, or (opset 9) as attributes."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from jacquard.compiler.codelets._moves import lower, numbered, parsed, reference
from jacquard.compiler.codelets.base import Case, Codelet, Node, Parsed
from jacquard.proto.lib.errors import UserError


def parse(node: Node) -> Parsed:
    x = node.activation(0)

    def numbers(index: int, name: str) -> list[int] | None:
        given = node.constant(index) if node.operand(index) is not None else node.get(name)
        return None if given is None else [int(n) for n in np.asarray(given).reshape(-1)]

    starts, ends = numbers(1, "starts") or [], numbers(2, "ends") or []
    axes = numbers(3, "axes") or list(range(len(starts)))
    steps = numbers(4, "steps") or [1] * len(starts)
    index = [slice(None)] * len(x.shape)
    for axis, start, end, step in zip(axes, starts, ends, steps, strict=True):
        # Downwards, an end before the first element has no number of its own in Python.
        last = None if step < 0 and end < -x.shape[axis] else end
        index[axis] = slice(start, last, step)
    taken = numbered(x)[tuple(index)]
    if not taken.size:
        raise UserError(
            f"{node.place}: must leave elements, got shape {taken.shape}; drop the node"
        )
    return parsed(node, [x], [taken])


def cases() -> Sequence[Case]:
    def window(starts: list[int], ends: list[int], axes: list[int], steps: list[int]) -> Case:
        constants = {
            name: np.array(values, np.int64)
            for name, values in zip(("s", "e", "a", "t"), (starts, ends, axes, steps), strict=True)
        }
        return Case("_".join(map(str, ["axes", *axes])), {"x": (1, 20, 6, 7)}, constants=constants)

    return [
        window([4], [12], [1], [1]),
        window([1, 5], [100, 0], [2, 3], [2, -2]),
        window([-16], [-1], [1], [3]),
    ]


CODELET = Codelet("Slice", parse, lower, reference, cases, view="move")
