"""Unary functions as codelets: a real function, and VECTOR's table stage does the rest.

docs/nonlinear.md, "Unary functions", says what the integers are.
"""

from __future__ import annotations

import dataclasses
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
from jacquard.compiler.codelets.elementwise._broadcast import broadcast
from jacquard.compiler.codelets.elementwise._scaling import factors_to_multipliers
from jacquard.compiler.graph.ir import Grid, Op
from jacquard.compiler.tile.lowering import Lowering, dtype_of
from jacquard.compiler.tile.pointwise import OUT, Pass, emit_passes
from jacquard.compiler.tile.table import (
    NARROW_BITS,
    WIDE_BITS,
    RealFunction,
    Table,
    TableStage,
    interpolated,
    stepped,
)
from jacquard.proto import npu_isa as isa
from jacquard.proto.lib.errors import UserError

Attrs = Mapping[str, Any]


@dataclasses.dataclass(frozen=True)
class Passes:
    """A function as several VECTOR passes over a block; its operand is named X.

    Attributes:
      table: of those passes whose fields say `table`.
      temporaries: name -> type.
    """

    table: Table
    temporaries: Mapping[str, isa.Dtype]
    passes: tuple[Pass, ...]


# For 16-bit operands, where a look-up over the grid is too coarse: op, grids of operand and result.
MakePasses = Callable[[Op, Grid, Grid], Passes]
# From an op's attributes to the function on float64, and to the reach beyond which it is constant.
MakeFunction = Callable[[Attrs], RealFunction]
Reach = Callable[[Attrs], float]
WIDE = ("int16", "uint16")
X = "x"


def unary_codelet(
    op: str,
    function: MakeFunction,
    cases: Sequence[Case],
    reach: float | Reach = math.inf,
    attributes: Mapping[str, Any] | None = None,
    wide: MakePasses | None = None,
) -> Codelet:
    """A unary operator.

    Args:
      function: the op's attributes -> a function of float64 arrays; NaN where it has no value.
      reach: beyond [-reach, reach] the function is constant to less than a 16-bit step.
      attributes: name -> default of those that the function reads; floats as float32, as in ONNX.
      wide: what stands for the look-up of 16-bit operands.
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
        return plain_stage(found, x, y, stage) if wide is None else None

    def lower(found: Op, low: Lowering) -> None:
        x, y = (low.tensor(name).grid for name in (found.inputs[0], found.outputs[0]))
        if wide is not None and x.dtype in WIDE:
            lower_passes(found, low, wide(found, x, y))
        else:
            lower_stage(found, low, stage(found, x, y))

    def reference(found: Op, inputs: Sequence[Array]) -> Sequence[Array]:
        with np.errstate(all="ignore"):
            y = function(found.attrs)(np.asarray(inputs[0], np.float64))
        return [np.where(np.isnan(y), -np.inf, y)]

    return Codelet(op, parse, lower, reference, lambda: list(cases), table=table)


def sigmoid(x: Array) -> Array:
    """float64 of any shape."""
    return np.asarray(1.0 / (1.0 + np.exp(-x)), np.float64)


def erf(x: Array) -> Array:
    """float64 of any shape."""
    return np.asarray(np.frompyfunc(math.erf, 1, 1)(x), np.float64)


def plain_stage(
    op: Op, x: Grid, y: Grid, stage: Callable[[Op, Grid, Grid], TableStage]
) -> TableStage | None:
    """What Codelet.table promises."""
    if x.dtype not in WIDE or y.dtype == "uint16" or narrows(op, y):
        return None
    made = stage(op, x, y)
    return made if made.plain else None


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
    x, y = (low.tensor(name).grid for name in (op.inputs[0], op.outputs[0]))
    if y.dtype == "uint16":
        raise UserError(
            f"node {op.name} ({op.kind}): its result must be int8, uint8 or int16, got {y.dtype}; "
            "requantize to int16"
        )
    passes = [Pass(stage.fields(0), OUT, X)]
    if x.dtype in WIDE and narrows(op, y):
        lo, hi = bounds(op, y)
        clamp = {"op": int(isa.VectorOp.MOVE), "clamp": 1, "lo": lo, "hi": hi}
        passes.append(Pass(clamp, OUT, OUT))
    lower_passes(op, low, Passes(stage.table, {}, tuple(passes)))


def lower_passes(op: Op, low: Lowering, made: Passes) -> None:
    """Emits a layer of several passes."""
    low.begin_layer(op, macs=0)
    x, y = low.tensor(op.inputs[0]), low.tensor(op.outputs[0])
    index = low.table(made.table)
    passes = [
        dataclasses.replace(p, fields={**p.fields, "table_index": index})
        if p.fields.get("table") else p
        for p in made.passes
    ]
    (operand,), out = broadcast(low, [x], y)
    emit_passes(low, op.name, {X: operand}, made.temporaries, passes, out, dtype_of(y))


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
        Case("wide_clamped", {"x": rows}, relu=True, input_dtype="uint16", output_dtype="int16",
             tolerance=wide, **options),
    ]
