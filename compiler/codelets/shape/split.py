"""Split: sizes from the input, the attribute, or equal parts (the last one smaller)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from jacquard.compiler.codelets._moves import lower, numbered, parsed, reference
from jacquard.compiler.codelets.base import Case, Codelet, Node, Parsed
from jacquard.proto.lib.errors import UserError


def parse(node: Node) -> Parsed:
    x = node.activation(0)
    axis = int(node.get("axis", 0)) % len(x.shape)
    given = node.constant(1) if node.operand(1) is not None else node.get("split", ())
    sizes = [int(n) for n in np.asarray(given).reshape(-1)]
    if not sizes:
        parts = int(node.get("num_outputs", node.output_count))
        length = -(-x.shape[axis] // parts)
        sizes = [min(length, x.shape[axis] - length * i) for i in range(parts)]
    cuts = np.cumsum(sizes)
    if cuts[-1] != x.shape[axis] or min(sizes) <= 0:
        raise UserError(
            f"{node.place}: sizes must be positive and add up to {x.shape[axis]}, got {sizes}; "
            "correct the model"
        )
    return parsed(node, [x], np.split(numbered(x), cuts[:-1].tolist(), axis=axis))


def cases() -> Sequence[Case]:
    sizes = {"split": np.array([5, 2, 9], np.int64)}
    return [
        Case("equal", {"x": (1, 32, 3, 4)}, {"axis": 1}, outputs=2),
        Case("sizes", {"x": (3, 16)}, {"axis": 1}, constants=sizes, outputs=3),
    ]


CODELET = Codelet("Split", parse, lower, reference, cases, view="move")
