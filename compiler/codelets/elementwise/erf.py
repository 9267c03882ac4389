"""Erf, by table."""

from __future__ import annotations

from jacquard.compiler.codelets.elementwise._table import erf, grid_cases, unary_codelet

CODELET = unary_codelet("Erf", lambda attrs: erf, grid_cases(), reach=4.0)
