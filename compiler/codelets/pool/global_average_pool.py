"""GlobalAveragePool: the sum of each channel's plane, scaled by s / (n sy) and rounded once."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from jacquard.compiler.codelets.base import Array, Case, Codelet, Node, Parsed
from jacquard.compiler.codelets.elementwise._scaling import rescale
from jacquard.compiler.graph.ir import Op
from jacquard.compiler.tile.lowering import Lowering, dtype_of
from jacquard.compiler.tile.pooling import emit_global_mean
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
    place = low.stored(op.inputs[0])
    fields, mult = rescale(op, x.grid, y.grid, float(x.view.positions))
    fields |= {"op": int(isa.VectorOp.MOVE), "mult1": mult, "dst_dtype": int(dtype_of(y))}
    emit_global_mean(low, op.name, place, low.stored(op.outputs[0]), dtype_of(x), fields)


def reference(op: Op, inputs: Sequence[Array]) -> Sequence[Array]:
    """[1, C, H, W] -> [1, C, 1, 1]."""
    del op
    return [np.mean(inputs[0], axis=(2, 3), keepdims=True)]


def cases() -> Sequence[Case]:
    return [
        Case("seven", {"x": (1, 40, 7, 7)}),
        Case("large", {"x": (1, 6, 61, 60)}, unsigned=True),
        Case("one", {"x": (1, 5, 1, 1)}),
    ]


CODELET = Codelet("GlobalAveragePool", parse, lower, reference, cases, view="image")
