"""Concat: operands with scales of their own are requantized on the way, rounded once."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from jacquard.compiler.codelets._moves import lower, numbered, parsed, reference
from jacquard.compiler.codelets.base import Case, Codelet, Node, Parsed


def parse(node: Node) -> Parsed:
    inputs = [node.activation(i) for i in range(len(node.operands))]
    axis = int(node.get("axis"))
    starts = np.cumsum([0, *(int(np.prod(t.shape)) for t in inputs)])
    maps = [numbered(t, int(start)) for t, start in zip(inputs, starts, strict=False)]
    return parsed(node, inputs, [np.concatenate(maps, axis=axis)])


def cases() -> Sequence[Case]:
    return [
        Case("channels", {"a": (1, 16, 4, 5), "b": (1, 32, 4, 5)}, {"axis": 1}),
        Case("odd_channels", {"a": (1, 5, 3, 4), "b": (1, 6, 3, 4), "c": (1, 9, 3, 4)},
             {"axis": 1}),
        Case("rows", {"a": (1, 6, 2, 4), "b": (1, 6, 3, 4)}, {"axis": 2}),
        Case("columns", {"a": (1, 6, 2, 4), "b": (1, 6, 2, 3)}, {"axis": -1}),
        Case("features", {"a": (3, 10), "b": (3, 7)}, {"axis": 1}),
    ]


CODELET = Codelet("Concat", parse, lower, reference, cases, view="move")
