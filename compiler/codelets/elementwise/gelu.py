"""Gelu in both forms, by table: with erf, and approximated by tanh."""

from __future__ import annotations

import math

import numpy as np

from jacquard.compiler.codelets.base import Case
from jacquard.compiler.codelets.elementwise._table import Attrs, erf, grid_cases, unary_codelet
from jacquard.compiler.tile.table import RealFunction


def function(attrs: Attrs) -> RealFunction:
    form = attrs["approximate"]
    if form not in ("none", "tanh"):
        raise ValueError(f"approximate must be none or tanh, got {form}")
    if form == "tanh":
        step = math.sqrt(2.0 / math.pi)
        return lambda x: 0.5 * x * (1.0 + np.tanh(step * (x + 0.044715 * x * x * x)))
    return lambda x: 0.5 * x * (1.0 + erf(x / math.sqrt(2.0)))


CASES = [
    *grid_cases(spread=2.0),
    Case("tanh", {"x": (4, 300)}, {"approximate": "tanh"}, input_dtype="int16",
         output_dtype="int16", tolerance=2.0),
]
CODELET = unary_codelet("Gelu", function, CASES, attributes={"approximate": "none"})
