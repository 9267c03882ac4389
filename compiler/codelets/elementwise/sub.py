"""Sub: Add with the second operand negated."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from jacquard.compiler.codelets.base import Activation, Array, Case, Codelet, Node, Parsed
from jacquard.compiler.codelets.elementwise import add
from jacquard.compiler.graph.ir import Op
from jacquard.proto.lib.errors import UserError


def parse(node: Node) -> Parsed:
    if not isinstance(node.operand(0), Activation):
        raise UserError(
            f"{node.place}: its first operand must be an activation, got a constant; "
            "use Mul by -1 and Add"
        )
    found = add.parse(node)
    if "offset" in found.attrs:
        return Parsed(found.inputs, {"offset": -found.attrs["offset"]}, found.shapes)
    return Parsed(found.inputs, {"negate": True}, found.shapes)


def reference(op: Op, inputs: Sequence[Array]) -> Sequence[Array]:
    """Real differences, broadcast."""
    return [inputs[0] + op.attrs["offset"] if "offset" in op.attrs else inputs[0] - inputs[1]]


def cases() -> Sequence[Case]:
    shape = (1, 20, 5, 6)
    return [
        Case("same", {"a": shape, "b": shape}),
        Case("wide", {"a": (2, 9, 40), "b": (1, 9, 1)}, input_dtype="int16",
             output_dtype="int16"),
        Case("constant", {"a": (3, 18)}, constants={"b": np.arange(18, dtype=np.float32) / 9}),
    ]


CODELET = Codelet("Sub", parse, add.lower, reference, cases)
