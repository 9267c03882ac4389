"""Abs: negative operands under the negated multiplier, in VECTOR's scale stage."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from jacquard.compiler.codelets.base import Array, Case, Codelet
from jacquard.compiler.codelets.elementwise import neg
from jacquard.compiler.graph.ir import Op
from jacquard.compiler.tile.lowering import Lowering
from jacquard.proto import npu_isa as isa


def lower(op: Op, low: Lowering) -> None:
    neg.emit(op, low, {"op": int(isa.VectorOp.LEAKY)}, ("mult2",))


def reference(op: Op, inputs: Sequence[Array]) -> Sequence[Array]:
    del op
    return [np.abs(inputs[0])]


def cases() -> Sequence[Case]:
    return [
        Case("image", {"x": (1, 20, 5, 6)}),
        Case("unsigned", {"x": (5, 18)}, unsigned=True),
        Case("wide", {"x": (5, 18)}, input_dtype="int16", output_dtype="uint16"),
    ]


CODELET = Codelet("Abs", neg.parse, lower, reference, cases)
