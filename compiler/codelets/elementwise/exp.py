"""Exp, by table; beyond the result's type it saturates."""

from __future__ import annotations

import numpy as np

from jacquard.compiler.codelets.elementwise._table import grid_cases, unary_codelet

CODELET = unary_codelet("Exp", lambda attrs: np.exp, grid_cases(wide=10.0, spread=2.0))
