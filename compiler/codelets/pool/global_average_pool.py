"""GlobalAveragePool: the sum of each channel's plane, scaled by s / (n sy) and rounded once."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from jacquard.compiler.codelets.base import SIGNED, Array, Case, Codelet, Node, Parsed
from jacquard.compiler.codelets.elementwise._scaling import rescale
from jacquard.compiler.graph.ir import Op
from jacquard.compiler.tile.lowering import Lowering, dtype_of
from jacquard.compiler.tile.reduction import Reduction, emit_over_positions
from jacquard.proto import npu_isa as isa
from jacquard.proto.lib.errors import UserError


def parse(node: Node) -> Parsed:
    x = node.activation(0)
    if len(x.shape) != 4 or x.shape[0] != 1:
        raise UserError(
            f"{node.place}: must be two-dimensional with batch 1, got {x.shape}; reshape the model"
        )
    return Parsed((x,), {}, ((*x.shape[:2], 1, 1),))


def lower(op: Op, low: Lowering) -> None:
    low.begin_layer(op, macs=0)
    x, y = low.tensor(op.inputs[0]), low.tensor(op.outputs[0])
    count = x.view.positions
    fields, mult = rescale(op, x.grid, y.grid, float(count))
    offset = fields.pop("imm1", 0)
    problem = Reduction(low.stored(x.name), low.stored(y.name), dtype_of(x), dtype_of(y),
                        isa.ReduceOp.SUM, offset, {**fields, "mult1": mult})
    emit_over_positions(low, problem, (1, count, 1))


def reference(op: Op, inputs: Sequence[Array]) -> Sequence[Array]:
    """[1, C, H, W] -> [1, C, 1, 1]."""
    del op
    return [np.mean(inputs[0], axis=(2, 3), keepdims=True)]


def cases() -> Sequence[Case]:
    return [
        Case("seven", {"x": (1, 40, 7, 7)}),
        Case("large", {"x": (1, 6, 61, 60)}, unsigned=True),
        Case("one", {"x": (1, 5, 1, 1)}),
        Case("wide", {"x": (1, 20, 5, 6)}, input_dtype="int16"),
    ]


CODELET = Codelet("GlobalAveragePool", parse, lower, reference, cases,
                  view="image", writes=SIGNED)
