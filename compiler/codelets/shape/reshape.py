"""Reshape: 0 copies a dimension (unless allowzero), -1 is what remains."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from jacquard.compiler.codelets._moves import lower, numbered, parsed, reference
from jacquard.compiler.codelets.base import Case, Codelet, Node, Parsed
from jacquard.proto.lib.errors import UserError


def parse(node: Node) -> Parsed:
    x = node.activation(0)
    given = node.constant(1) if node.operand(1) is not None else node.get("shape", ())
    wanted = [int(n) for n in np.asarray(given).reshape(-1)]
    if not node.get("allowzero", 0):
        wanted = [x.shape[i] if n == 0 else n for i, n in enumerate(wanted)]
    size = int(np.prod(x.shape))
    known = int(np.prod([n for n in wanted if n >= 0]))
    if (-1 not in wanted and known != size) or (-1 in wanted and (not known or size % known)):
        raise UserError(
            f"{node.place}: must keep {size} elements, got shape {wanted} for {x.shape}; "
            "correct the model"
        )
    return parsed(node, [x], [numbered(x).reshape(wanted)])


def cases() -> Sequence[Case]:
    def shape(*sizes: int) -> dict[str, np.ndarray]:
        return {"shape": np.array(sizes, np.int64)}

    return [
        Case("split_features", {"x": (1, 6, 24)}, constants=shape(1, 6, 4, 6)),
        Case("rest", {"x": (1, 5, 4, 6)}, constants=shape(0, -1)),
        Case("image", {"x": (2, 30)}, constants=shape(1, 5, 3, 4)),
    ]


CODELET = Codelet("Reshape", parse, lower, reference, cases, view="move")
