"""HardSigmoid, clip(alpha x + beta, 0, 1), by table."""

from __future__ import annotations

import math

import numpy as np

from jacquard.compiler.codelets.base import Case
from jacquard.compiler.codelets.elementwise._table import Attrs, grid_cases, unary_codelet
from jacquard.compiler.tile.table import RealFunction


def function(attrs: Attrs) -> RealFunction:
    alpha, beta = attrs["alpha"], attrs["beta"]
    return lambda x: np.clip(alpha * x + beta, 0.0, 1.0)


def reach(attrs: Attrs) -> float:
    """Where both ends of the clip are behind."""
    alpha, beta = attrs["alpha"], attrs["beta"]
    return float(max(abs(beta), abs(1.0 - beta)) / abs(alpha)) if alpha else math.inf


CASES = [*grid_cases(spread=2.0), Case("steep", {"x": (3, 90)}, {"alpha": -0.9, "beta": 0.3})]
CODELET = unary_codelet("HardSigmoid", function, CASES, reach, {"alpha": 0.2, "beta": 0.5})
