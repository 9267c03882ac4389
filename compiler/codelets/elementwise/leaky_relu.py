"""LeakyRelu: negative values under a multiplier of their own, in VECTOR's scale stage."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from jacquard.compiler.codelets.base import Array, Case, Codelet, Node, Parsed
from jacquard.compiler.codelets.elementwise._broadcast import broadcast
from jacquard.compiler.codelets.elementwise._scaling import factors_to_multipliers, output_fields
from jacquard.compiler.graph.ir import Op
from jacquard.compiler.tile.lowering import Lowering, dtype_of
from jacquard.compiler.tile.pointwise import emit_pointwise
from jacquard.proto import npu_isa as isa
from jacquard.proto.lib.fixed_point import requantization_scale


def parse(node: Node) -> Parsed:
    x = node.activation(0)
    return Parsed((x,), {"alpha": float(np.float32(node.get("alpha", 0.01)))}, (x.shape,))


def lower(op: Op, low: Lowering) -> None:
    low.begin_layer(op, macs=0)
    x, y = low.tensor(op.inputs[0]), low.tensor(op.outputs[0])
    alpha = op.attrs["alpha"]
    scales = (x.grid.scale, np.float64(x.grid.scale) * abs(alpha))
    factors = [float(requantization_scale([np.float64(s)], y.grid.scale)) for s in scales]
    (positive, negative), shift = factors_to_multipliers(op, factors)
    fields = output_fields(op, y.grid, shift) | {
        "op": int(isa.VectorOp.LEAKY), "imm1": -x.grid.zero_point, "mult1": positive,
        "mult2": -negative if alpha < 0 else negative, "dst_dtype": int(dtype_of(y)),
    }
    emit_pointwise(low, op.name, *broadcast(low, [x], y), fields)


def reference(op: Op, inputs: Sequence[Array]) -> Sequence[Array]:
    x = inputs[0]
    return [np.where(x < 0, x * op.attrs["alpha"], x)]


def cases() -> Sequence[Case]:
    return [
        Case("default", {"x": (1, 20, 5, 6)}),
        Case("steep", {"x": (3, 21)}, {"alpha": 1.75}, unsigned=True),
        Case("mirrored", {"x": (1, 5, 6, 7)}, {"alpha": -0.5}),
    ]


CODELET = Codelet("LeakyRelu", parse, lower, reference, cases)
