"""Expand: broadcasts to a shape."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from jacquard.compiler.codelets._moves import lower, numbered, parsed, reference
from jacquard.compiler.codelets.base import Case, Codelet, Node, Parsed
from jacquard.proto.lib.errors import UserError


def parse(node: Node) -> Parsed:
    x, given = node.activation(0), node.constant(1)
    assert given is not None
    wanted = tuple(int(n) for n in given.reshape(-1))
    try:
        shape = np.broadcast_shapes(x.shape, wanted)
    except ValueError:
        raise UserError(
            f"{node.place}: shapes must broadcast, got {x.shape} and {wanted}; correct the model"
        ) from None
    return parsed(node, [x], [np.broadcast_to(numbered(x), shape)])


def cases() -> Sequence[Case]:
    def to(*shape: int) -> dict[str, np.ndarray]:
        return {"shape": np.array(shape, np.int64)}

    return [
        Case("rows", {"x": (1, 21)}, constants=to(5, 21)),
        Case("features", {"x": (5, 1)}, constants=to(2, 1, 9)),
        Case("image", {"x": (1, 6, 1, 5)}, constants=to(1, 6, 4, 5), input_dtype="int16",
             output_dtype="int16"),
    ]


CODELET = Codelet("Expand", parse, lower, reference, cases, view="move")
