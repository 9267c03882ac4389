"""Pow by a constant: its operand for 1, a product for 2, else a function by table."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from jacquard.compiler.codelets.base import Array, Case, Codelet, Constant, Node, Parsed
from jacquard.compiler.codelets.elementwise import mul, reciprocal, sqrt
from jacquard.compiler.codelets.elementwise._table import (
    WIDE,
    lower_passes,
    lower_stage,
    plain_stage,
    stage_of,
)
from jacquard.compiler.codelets.quantize import quantize_linear
from jacquard.compiler.graph.ir import Grid, Op
from jacquard.compiler.tile.lowering import Lowering
from jacquard.compiler.tile.table import TableStage
from jacquard.proto.lib.errors import UserError

SEQUENCES = {0.5: sqrt.wide, -1.0: reciprocal.wide}


def parse(node: Node) -> Parsed:
    x, given = node.activation(0), node.operand(1)
    if not isinstance(given, Constant) or given.value.size != 1:
        raise UserError(
            f"{node.place}: the exponent must be one constant number that is not quantized, got "
            f"{type(given).__name__}; fold the model"
        )
    exponent = float(np.float32(given.value.reshape(())))
    inputs = (x, x) if exponent == 2.0 else (x,)
    grid = x.grid if exponent == 1.0 else None
    return Parsed(inputs, {"exponent": exponent}, (x.shape,), grid)


def stage(op: Op, x: Grid, y: Grid) -> TableStage:
    exponent = op.attrs["exponent"]
    return stage_of(op, lambda value: np.power(value, exponent), float("inf"), x, y)


def table(op: Op, x: Grid, y: Grid) -> TableStage | None:
    if op.attrs["exponent"] in (1.0, 2.0, *SEQUENCES):
        return None
    return plain_stage(op, x, y, stage)


def lower(op: Op, low: Lowering) -> None:
    exponent = op.attrs["exponent"]
    x, y = (low.tensor(name).grid for name in (op.inputs[0], op.outputs[0]))
    if exponent == 1.0:
        quantize_linear.lower(op, low)
    elif exponent == 2.0:
        mul.lower(op, low)
    elif exponent in SEQUENCES and x.dtype in WIDE:
        lower_passes(op, low, SEQUENCES[exponent](op, x, y))
    else:
        lower_stage(op, low, stage(op, x, y))


def reference(op: Op, inputs: Sequence[Array]) -> Sequence[Array]:
    with np.errstate(all="ignore"):
        return [np.power(np.asarray(inputs[0], np.float64), op.attrs["exponent"])]


def cases() -> Sequence[Case]:
    def case(name: str, exponent: float, wide: bool = False, tolerance: float = 0.501,
             positive: bool = True) -> Case:
        dtype = "int16" if wide else ""
        return Case(name, {"x": (5, 70)}, constants={"e": np.array(exponent, np.float32)},
                    input_dtype=dtype, output_dtype=dtype, tolerance=tolerance, positive=positive)

    return [
        case("same", 1.0, positive=False), case("square", 2.0, positive=False),
        case("wide_square", 2.0, wide=True, positive=False),
        case("cube", 3.0, positive=False), case("wide_cube", 3.0, wide=True, tolerance=6.0),
        case("root", 0.5), case("wide_root", 0.5, wide=True, tolerance=2.5),
        case("inverse", -1.0), case("wide_inverse", -1.0, wide=True, tolerance=2.5),
        case("fraction", 1.5),
    ]


CODELET = Codelet("Pow", parse, lower, reference, cases, table=table)
