"""Div by a constant: a gain, its reciprocal in float64."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from jacquard.compiler.codelets.base import Array, Case, Codelet, Constant, Node, Parsed
from jacquard.compiler.codelets.elementwise import mul
from jacquard.compiler.codelets.elementwise._broadcast import result_shape
from jacquard.compiler.graph.ir import Op
from jacquard.proto.lib.errors import UserError


def parse(node: Node) -> Parsed:
    divisor = node.operand(1)
    if not isinstance(divisor, Constant):
        raise UserError(
            f"{node.place}: must divide by a constant that is not quantized, got "
            f"{type(divisor).__name__}; multiply by the Reciprocal"
        )
    x, value = node.activation(0), divisor.value.astype(np.float64)
    if (value == 0).any():
        raise UserError(f"{node.place}: must not divide by zero; correct the model")
    shape = result_shape(node, node.operand(0), divisor)
    return Parsed((x,), {"gain": 1.0 / value}, (shape,))


def reference(op: Op, inputs: Sequence[Array]) -> Sequence[Array]:
    """Real quotients, broadcast."""
    return [inputs[0] * op.attrs["gain"]]


def cases() -> Sequence[Case]:
    random = np.random.default_rng(7)
    return [
        Case("scalar", {"x": (1, 20, 5, 6)}, constants={"d": np.array(8.0, np.float32)}),
        Case("channels", {"x": (5, 18)},
             constants={"d": random.uniform(-3, -0.5, 18).astype(np.float32)}),
        Case("wide", {"x": (2, 5, 18)}, constants={"d": np.array(-0.7, np.float32)},
             input_dtype="int16", output_dtype="int16"),
    ]


CODELET = Codelet("Div", parse, mul.lower, reference, cases)
