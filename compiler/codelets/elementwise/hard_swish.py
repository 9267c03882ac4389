"""HardSwish, x clip(x / 6 + 1 / 2, 0, 1), by table."""

from __future__ import annotations

import numpy as np

from jacquard.compiler.codelets.elementwise._table import grid_cases, unary_codelet

CODELET = unary_codelet(
    "HardSwish", lambda attrs: lambda x: x * np.clip(x / 6.0 + 0.5, 0.0, 1.0),
    grid_cases(wide=16.0, spread=3.0),  # its kinks lie inside of pieces
)
