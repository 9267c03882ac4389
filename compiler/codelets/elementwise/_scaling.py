"""The scale stage for operators with one operand: between two grids, with a clamp."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from jacquard.compiler.codelets.base import bounds
from jacquard.compiler.graph.ir import Grid, Op
from jacquard.proto import npu_isa as isa
from jacquard.proto.lib.errors import UserError
from jacquard.proto.lib.fixed_point import quantize_multipliers, requantization_scale


T = TypeVar("T")


def named(op: Op, compute: Callable[[], T]) -> T:
    """What `compute` gives; the op's name goes into the message of its UserError."""
    try:
        return compute()
    except UserError as error:
        raise UserError(f"node {op.name} ({op.kind}): {line}" for line in error.lines) from error


def factors_to_multipliers(op: Op, factors: list[float]) -> tuple[list[int], int]:
    """Integer multipliers under one shift."""
    mult, shift = named(op, lambda: quantize_multipliers(factors))
    return [int(m) for m in mult], shift


def output_fields(op: Op, grid: Grid, shift: int) -> dict[str, int]:
    """VECTOR fields that finish a scaled value: shift, zero point, clamp."""
    lo, hi = bounds(op, grid)
    return {"scale": int(isa.ScaleMode.IMM), "shift": shift, "zero_point": grid.zero_point,
            "clamp": 1, "lo": lo, "hi": hi}


def rescale(op: Op, x: Grid, y: Grid, divisor: float = 1.0) -> tuple[dict[str, int], int]:
    """(fields, mult1) that bring integers on grid x, divided, to grid y."""
    if x == y and divisor == 1.0:
        lo, hi = bounds(op, y)
        return {"scale": int(isa.ScaleMode.OFF), "clamp": 1, "lo": lo, "hi": hi}, 0
    factor = float(requantization_scale([x.scale], y.scale, divisor))
    (mult,), shift = factors_to_multipliers(op, [factor])
    return {**output_fields(op, y, shift), "imm1": -x.zero_point}, mult
