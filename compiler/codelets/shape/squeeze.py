"""Squeeze: drops dimensions of one."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from jacquard.compiler.codelets._moves import lower, numbered, parsed, reference
from jacquard.compiler.codelets.base import Case, Codelet, Node, Parsed


def parse(node: Node) -> Parsed:
    x = node.activation(0)
    given = node.constant(1) if node.operand(1) is not None else node.get("axes")
    if given is None:
        axes = tuple(i for i, n in enumerate(x.shape) if n == 1)
    else:
        axes = tuple(int(a) % len(x.shape) for a in np.asarray(given).reshape(-1))
    return parsed(node, [x], [numbered(x).squeeze(axes)])


def cases() -> Sequence[Case]:
    axes = {"axes": np.array([1], np.int64)}
    return [Case("all", {"x": (1, 7, 1, 1)}), Case("one", {"x": (1, 1, 4, 5)}, constants=axes)]


CODELET = Codelet("Squeeze", parse, lower, reference, cases, view="move")
