"""Clip: a clamp, done by whatever writes its operand; bounds are inputs or (opset 6) attributes."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from jacquard.compiler.codelets.base import Array, Case, Codelet, Node
from jacquard.compiler.graph.ir import Op
from jacquard.proto.lib.errors import UserError


def clamp(node: Node) -> tuple[float, float]:
    found = []
    for index, (name, default) in enumerate((("min", -math.inf), ("max", math.inf)), start=1):
        given = node.constant(index) if node.operand(index) is not None else None
        value = float(node.get(name, default)) if given is None else float(given.reshape(-1)[0])
        if math.isnan(value):
            raise UserError(f"{node.place}: {name} must be a number, got NaN; correct the model")
        found.append(value)
    return found[0], found[1]


def reference(op: Op, inputs: Sequence[Array]) -> Sequence[Array]:
    return [np.clip(inputs[0], op.lo, op.hi)]


def cases() -> Sequence[Case]:
    def between(lo: float, hi: float) -> dict[str, np.ndarray]:
        return {"lo": np.array(lo, np.float32), "hi": np.array(hi, np.float32)}

    return [
        Case("relu6", {"x": (1, 5, 6, 7)}, constants=between(0.0, 1.5)),
        Case("both", {"x": (3, 21)}, constants=between(-0.7, 0.9), unsigned=True),
        Case("wide", {"x": (3, 21)}, constants=between(-0.7, 0.9), input_dtype="int16",
             output_dtype="int16"),
        Case("narrowing", {"x": (3, 21)}, constants=between(-0.7, 0.9), input_dtype="int16"),
    ]


CODELET = Codelet("Clip", None, None, reference, cases, clamp)
