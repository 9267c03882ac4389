"""MaxPool in two dimensions; padding never wins. The result lies on its operand's grid."""

from __future__ import annotations

import math
from collections.abc import Sequence

from jacquard.compiler.codelets._window import output_size, taps, window_of
from jacquard.compiler.codelets.base import NARROW, Array, Case, Codelet, Node, Parsed
from jacquard.compiler.codelets.elementwise._scaling import rescale
from jacquard.compiler.graph.ir import Op
from jacquard.compiler.tile.lowering import Lowering, dtype_of
from jacquard.compiler.tile.operand import Rect
from jacquard.compiler.tile.pooling import Pooling, emit_pooling
from jacquard.proto import npu_isa as isa
from jacquard.proto.lib.errors import UserError


def parse(node: Node) -> Parsed:
    x = node.activation(0)
    if node.output_count > 1:
        raise UserError(f"{node.place}: must have one output, got Indices too; drop it")
    if len(x.shape) != 4 or x.shape[0] != 1:
        raise UserError(
            f"{node.place}: must be two-dimensional with batch 1, got {x.shape}; reshape the model"
        )
    window = window_of(node, x.shape[2:], ())
    size = output_size(node, x.shape[2:], window, bool(node.get("ceil_mode", 0)))
    return Parsed((x,), {"window": window, "size": size}, ((*x.shape[:2], *size),), x.grid)


def lower(op: Op, low: Lowering) -> None:
    low.begin_layer(op, macs=0)
    x, y = low.tensor(op.inputs[0]), low.tensor(op.outputs[0])
    fields, mult = rescale(op, x.grid, y.grid)
    fields |= {"op": int(isa.VectorOp.MOVE), "reduce": int(isa.ReduceOp.MAXIMUM),
               "dst_dtype": int(dtype_of(y))}
    out = low.stored(op.outputs[0])
    emit_pooling(
        low,
        Pooling(op.name, low.stored(op.inputs[0]), out, op.attrs["window"], dtype_of(x),
                x.grid.lo, fields, ((Rect(0, 0, out.height, out.width), mult),)),
    )


def reference(op: Op, inputs: Sequence[Array]) -> Sequence[Array]:
    """x [1, C, H, W] -> [1, C, OH, OW]."""
    return [taps(inputs[0], op.attrs["window"], op.attrs["size"], -math.inf).max(axis=1)[None]]


def cases() -> Sequence[Case]:
    x = {"x": (1, 20, 9, 11)}
    return [
        Case("two", x, {"kernel_shape": [2, 2], "strides": [2, 2]}),
        Case("resnet", x, {"kernel_shape": [3, 3], "strides": [2, 2], "pads": [1, 1, 1, 1]},
             unsigned=True),
        Case("ceil", x, {"kernel_shape": [3, 2], "strides": [2, 3], "ceil_mode": 1}),
        Case("dilated", x, {"kernel_shape": [2, 3], "dilations": [3, 2], "pads": [1, 0, 0, 2]}),
        Case("same", x, {"kernel_shape": [2, 2], "auto_pad": "SAME_UPPER"}),
        Case("large", {"x": (1, 6, 40, 60)}, {"kernel_shape": [5, 5], "strides": [3, 3]}),
    ]


CODELET = Codelet("MaxPool", parse, lower, reference, cases, view="image",
                  reads=NARROW, writes=NARROW)
