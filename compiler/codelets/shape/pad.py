"""Pad: constant, reflect, edge and wrap; the constant is rounded onto the operand's grid."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from jacquard.compiler.codelets._moves import FILL, lower, numbered, parsed, reference
from jacquard.compiler.codelets.base import Case, Codelet, Node, Parsed


def parse(node: Node) -> Parsed:
    x = node.activation(0)
    rank = len(x.shape)
    given = node.constant(1) if node.operand(1) is not None else node.get("pads", ())
    pads = [int(n) for n in np.asarray(given).reshape(-1)]
    which = node.constant(3)
    axes = range(rank) if which is None else [int(a) % rank for a in which.reshape(-1)]
    widths = [(0, 0)] * rank
    for i, axis in enumerate(axes):
        widths[axis] = (pads[i], pads[i + len(pads) // 2])
    keep = tuple(
        slice(-min(b, 0), n + min(a, 0)) for n, (b, a) in zip(x.shape, widths, strict=True)
    )
    grow = [(max(b, 0), max(a, 0)) for b, a in widths]
    inside = numbered(x)[keep]
    mode = str(node.get("mode", "constant"))
    if mode != "constant":
        return parsed(node, [x], [np.pad(inside, grow, mode=mode)])  # type: ignore[call-overload]
    value = node.constant(2)
    constant = float(node.get("value", 0.0)) if value is None or not value.size else value.item()
    return parsed(node, [x], [np.pad(inside, grow, constant_values=FILL)], constant)


def cases() -> Sequence[Case]:
    def pads(*sizes: int) -> dict[str, np.ndarray]:
        return {"pads": np.array(sizes, np.int64)}

    return [
        Case("image", {"x": (1, 6, 4, 5)}, constants=pads(0, 0, 1, 2, 0, 0, 3, 0)),
        Case("channels", {"x": (1, 6, 2, 3)}, constants=pads(0, 3, 0, 0, 0, 9, 0, 0)),
        Case("reflect", {"x": (1, 5, 4, 5)}, {"mode": "reflect"}, pads(0, 0, 1, 2, 0, 0, 3, 1)),
    ]


CODELET = Codelet("Pad", parse, lower, reference, cases, view="move")
