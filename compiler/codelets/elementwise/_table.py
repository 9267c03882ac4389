"""Unary functions as codelets: a real function, and VECTOR's table stage does the rest.

docs/nonlinear.md, "Unary functions", says what the integers are.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from jacquard.compiler.codelets.base import (
    Array,
    Case,
    Codelet,
    Node,
    Parsed,
    bounds,
    clamped,
)
from jacquard.compiler.codelets.elementwise._broadcast import broadcast_operand
from jacquard.compiler.codelets.elementwise._scaling import factors_to_multipliers
from jacquard.compiler.graph.ir import Grid, Op
from jacquard.compiler.tile.lowering import Lowering, dtype_of
from jacquard.compiler.tile.pointwise import OUT, Pass, emit_passes
from jacquard.compiler.tile.table import (
    NARROW_BITS,
    WIDE_BITS,
    RealFunction,
    TableStage,
    interpolated,
    stepped,
)
from jacquard.proto import npu_isa as isa
from jacquard.proto.lib.errors import UserError

Attrs = Mapping[str, Any]
# From an op's attributes to the function on float64, and to the reach beyond which it is constant.
MakeFunction = Callable[[Attrs], RealFunction]
Reach = Callable[[Attrs], float]
WIDE = ("int16", "uint16")


def unary_codelet(
    op: str,
    function: MakeFunction,
    cases: Sequence[Case],
    reach: float | Reach = math.inf,
    attributes: Mapping[str, Any] | None = None,
) -> Codelet:
    """A unary operator.

    Args:
      function: the op's attributes -> a function of float64 arrays; NaN where it has no value.
      reach: beyond [-reach, reach] the function is constant to less than a 16-bit step.
      attributes: name -> default of those that the function reads; floats as float32, as in ONNX.
    """

    def parse(node: Node) -> Parsed:
        x = node.activation(0)
        given = {name: node.get(name, default) for name, default in (attributes or {}).items()}
        attrs = {n: float(np.float32(v)) if isinstance(v, float) else v for n, v in given.items()}
        try:
            function(attrs)
        except ValueError as error:
            raise UserError(f"{node.place}: {error}; correct the model") from error
        return Parsed((x,), attrs, (x.shape,))

    def stage(found: Op, x: Grid, y: Grid) -> TableStage:
        limit = reach(found.attrs) if callable(reach) else reach
        return stage_of(found, function(found.attrs), limit, x, y)

    def table(found: Op, x: Grid, y: Grid) -> TableStage | None:
        if x.dtype not in WIDE or not supported(y) or narrows(found, y):
            return None
        made = stage(found, x, y)
        return made if made.plain else None

    def lower(found: Op, low: Lowering) -> None:
        x, y = (low.tensor(name).grid for name in (found.inputs[0], found.outputs[0]))
        require_supported(found, y)
        lower_stage(found, low, stage(found, x, y))

    def reference(found: Op, inputs: Sequence[Array]) -> Sequence[Array]:
        with np.errstate(all="ignore"):
            return [function(found.attrs)(np.asarray(inputs[0], np.float64))]

    return Codelet(op, parse, lower, reference, lambda: list(cases), table=table)


def supported(y: Grid) -> bool:
    """Whether a table's entries reach all of a result's type."""
    return y.dtype != "uint16"


def require_supported(op: Op, y: Grid) -> None:
    """UserError where they do not."""
    if not supported(y):
        raise UserError(
            f"node {op.name} ({op.kind}): its result must be int8, uint8 or int16, got {y.dtype}; "
            "requantize to int16"
        )


def narrows(op: Op, y: Grid) -> bool:
    """Whether the op's clamp is narrower than its result's type."""
    return clamped(op) and bounds(op, y) != (y.lo, y.hi)


def centred(grid: Grid) -> int:
    """The zero point less the middle of the type."""
    return grid.zero_point - middle(grid)


def middle(grid: Grid) -> int:
    return (grid.lo + grid.hi + 1) // 2


def on_grid(function: RealFunction, scale: float, zero: int, y: Grid) -> RealFunction:
    """Of integers on one grid, in steps of another."""
    return lambda q: function(scale * (q - zero)) / y.scale + y.zero_point


def fraction_bits(y: Grid) -> int:
    """Of a table's entries."""
    return WIDE_BITS if y.dtype in WIDE else NARROW_BITS


def stage_of(op: Op, function: RealFunction, reach: float, x: Grid, y: Grid) -> TableStage:
    """The look-up that computes a function of a tensor on grid x; an 8-bit operand's holds the
    clamp."""
    offset, zero = -middle(x), centred(x)
    if x.dtype not in WIDE:
        with np.errstate(all="ignore"):
            values = on_grid(function, x.scale, zero, y)(np.arange(-128, 128, dtype=np.float64))
        lo, hi = bounds(op, y)
        entries = np.clip(np.rint(np.where(np.isnan(values), y.lo, values)), lo, hi)
        return stepped(entries, offset)
    if x.scale * 2**15 <= reach:
        inner = on_grid(function, x.scale, zero, y)
        return interpolated(inner, y.lo, y.hi, fraction_bits(y), offset)
    (mult,), shift = factors_to_multipliers(op, [x.scale * 2**15 / reach])
    inner = on_grid(function, reach / 2**15, 0, y)
    return interpolated(inner, y.lo, y.hi, fraction_bits(y), -x.zero_point, mult, shift)


def lower_stage(op: Op, low: Lowering, stage: TableStage) -> None:
    """Emits a layer that is one look-up, and a clamp behind it where the table cannot hold it."""
    low.begin_layer(op, macs=0)
    x, y = low.tensor(op.inputs[0]), low.tensor(op.outputs[0])
    passes = [Pass(stage.fields(low.table(stage.table)), OUT, "x")]
    if x.grid.dtype in WIDE and narrows(op, y.grid):
        lo, hi = bounds(op, y.grid)
        clamp = {"op": int(isa.VectorOp.MOVE), "clamp": 1, "lo": lo, "hi": hi}
        passes.append(Pass(clamp, OUT, OUT))
    emit_passes(low, op.name, {"x": broadcast_operand(low, x, y)}, {}, passes,
                low.stored(op.outputs[0]), dtype_of(y))


def grid_cases(
    shape: tuple[int, ...] = (1, 20, 5, 6), wide: float = 6.0, **options: Any
) -> list[Case]:
    """Cases of a unary operator between grids of 8 and 16 bits.

    wide: largest distance from the real function where both have 16 bits, in LSB of the result.
    """
    rows = (7, 37)
    return [
        Case("narrow", {"x": shape}, **options),
        Case("unsigned", {"x": rows}, unsigned=True, **options),
        Case("widening", {"x": rows}, output_dtype="int16", **options),
        Case("wide_to_narrow", {"x": rows}, input_dtype="int16", tolerance=0.6, **options),
        Case("wide", {"x": shape}, input_dtype="int16", output_dtype="int16", tolerance=wide,
             **options),
    ]
