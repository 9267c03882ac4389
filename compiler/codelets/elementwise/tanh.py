"""Tanh, by table."""

from __future__ import annotations

import numpy as np

from jacquard.compiler.codelets.elementwise._table import grid_cases, unary_codelet

CODELET = unary_codelet("Tanh", lambda attrs: np.tanh, grid_cases(), reach=6.0)
