"""Sub: Add with the second operand negated."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from jacquard.compiler.codelets.base import Activation, Array, Case, Codelet, Node, Parsed
from jacquard.compiler.codelets.elementwise import add
from jacquard.compiler.graph.ir import Op


def parse(node: Node) -> Parsed:
    """A constant in front is the second operand of the sum, as Add has it; signs tell."""
    mirrored = not isinstance(node.operand(0), Activation)
    found = add.parse(node)
    attrs = dict(found.attrs, signs=(-1, 1) if mirrored else (1, -1))
    attrs.pop("plain", None)
    return Parsed(found.inputs, attrs, found.shapes)


def reference(op: Op, inputs: Sequence[Array]) -> Sequence[Array]:
    """Real differences, broadcast."""
    first, second = op.attrs["signs"]
    other = op.attrs["offset"] if "offset" in op.attrs else inputs[1]
    return [first * inputs[0] + second * other]


def cases() -> Sequence[Case]:
    shape = (1, 20, 5, 6)
    return [
        Case("same", {"a": shape, "b": shape}),
        Case("wide", {"a": (2, 9, 40), "b": (1, 9, 1)}, input_dtype="int16",
             output_dtype="int16"),
        Case("from_constant", {"a": (3, 18)}, order=("b", "a"),
             constants={"b": np.array(1.0, np.float32)}),
        Case("constant", {"a": (3, 18)}, constants={"b": np.arange(18, dtype=np.float32) / 9}),
    ]


CODELET = Codelet("Sub", parse, add.lower, reference, cases)
