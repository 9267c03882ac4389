"""Flatten: two dimensions, split at an axis."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from jacquard.compiler.codelets._moves import lower, numbered, parsed, reference
from jacquard.compiler.codelets.base import Case, Codelet, Node, Parsed


def parse(node: Node) -> Parsed:
    x = node.activation(0)
    axis = int(node.get("axis", 1))
    axis += len(x.shape) if axis < 0 else 0
    shape = (int(np.prod(x.shape[:axis])), int(np.prod(x.shape[axis:])))
    return parsed(node, [x], [numbered(x).reshape(shape)])


def cases() -> Sequence[Case]:
    return [Case("image", {"x": (1, 6, 3, 5)}), Case("last_axis", {"x": (1, 3, 4, 5)}, {"axis": 3})]


CODELET = Codelet("Flatten", parse, lower, reference, cases, view="move")
