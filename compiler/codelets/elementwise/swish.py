"""Swish, x sigmoid(alpha x), by table."""

from __future__ import annotations

from jacquard.compiler.codelets.base import Case
from jacquard.compiler.codelets.elementwise._table import (
    Attrs,
    grid_cases,
    sigmoid,
    unary_codelet,
)
from jacquard.compiler.tile.table import RealFunction


def function(attrs: Attrs) -> RealFunction:
    alpha = attrs["alpha"]
    return lambda x: x * sigmoid(alpha * x)


CASES = [*grid_cases(spread=3.0), Case("quick_gelu", {"x": (3, 90)}, {"alpha": 1.702})]
CODELET = unary_codelet("Swish", function, CASES, attributes={"alpha": 1.0})
