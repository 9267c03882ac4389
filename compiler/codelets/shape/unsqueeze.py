"""Unsqueeze: adds dimensions of one."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from jacquard.compiler.codelets._moves import lower, numbered, parsed, reference
from jacquard.compiler.codelets.base import Case, Codelet, Node, Parsed


def parse(node: Node) -> Parsed:
    x = node.activation(0)
    given = node.constant(1) if node.operand(1) is not None else node.get("axes", ())
    axes = [int(a) for a in np.asarray(given).reshape(-1)]
    rank = len(x.shape) + len(axes)
    return parsed(node, [x], [np.expand_dims(numbered(x), tuple(a % rank for a in axes))])


def cases() -> Sequence[Case]:
    axes = {"axes": np.array([2, 3], np.int64)}
    return [
        Case("to_image", {"x": (1, 21)}, constants=axes),
        Case("in_front", {"x": (5, 9)}, constants={"axes": np.array([0], np.int64)}),
    ]


CODELET = Codelet("Unsqueeze", parse, lower, reference, cases, view="move")
