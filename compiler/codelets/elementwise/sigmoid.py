"""Sigmoid, by table."""

from __future__ import annotations

from jacquard.compiler.codelets.elementwise._table import grid_cases, sigmoid, unary_codelet

CODELET = unary_codelet("Sigmoid", lambda attrs: sigmoid, grid_cases(spread=3.0), reach=12.0)
