"""Transpose: any permutation of dimensions."""

from __future__ import annotations

from collections.abc import Sequence

from jacquard.compiler.codelets._moves import lower, numbered, parsed, reference
from jacquard.compiler.codelets.base import Case, Codelet, Node, Parsed


def parse(node: Node) -> Parsed:
    x = node.activation(0)
    order = tuple(int(a) for a in node.get("perm", tuple(reversed(range(len(x.shape))))))
    return parsed(node, [x], [numbered(x).transpose(order)])


def cases() -> Sequence[Case]:
    return [
        Case("matrix", {"x": (5, 18)}),
        Case("to_channels_last", {"x": (1, 6, 3, 5)}, {"perm": [0, 2, 3, 1]}),
        Case("image", {"x": (1, 20, 3, 5)}, {"perm": [0, 1, 3, 2]}),
    ]


CODELET = Codelet("Transpose", parse, lower, reference, cases, view="move")
