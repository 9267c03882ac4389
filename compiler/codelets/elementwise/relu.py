"""Relu: a clamp from 0, done by whatever writes its operand."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from jacquard.compiler.codelets.base import Array, Case, Codelet, Node
from jacquard.compiler.graph.ir import Op


def clamp(node: Node) -> tuple[float, float]:
    del node
    return 0.0, math.inf


def reference(op: Op, inputs: Sequence[Array]) -> Sequence[Array]:
    del op
    return [np.maximum(inputs[0], 0.0)]


def cases() -> Sequence[Case]:
    return [Case("image", {"x": (1, 5, 6, 7)}), Case("matrix", {"x": (3, 21)}),
            Case("wide", {"x": (3, 21)}, input_dtype="int16", output_dtype="int16"),
            Case("widening", {"x": (3, 21)}, output_dtype="uint16")]


CODELET = Codelet("Relu", None, None, reference, cases, clamp)
