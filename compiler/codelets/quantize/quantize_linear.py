"""QuantizeLinear of what is stored already: to another grid, or under a Relu of its own."""

from __future__ import annotations

from collections.abc import Sequence

from jacquard.compiler.codelets.base import Array, Case, Codelet
from jacquard.compiler.codelets.elementwise._broadcast import broadcast
from jacquard.compiler.codelets.elementwise._scaling import rescale
from jacquard.compiler.graph.ir import Op
from jacquard.compiler.tile.lowering import Lowering, dtype_of
from jacquard.compiler.tile.pointwise import emit_pointwise
from jacquard.proto import npu_isa as isa


def lower(op: Op, low: Lowering) -> None:
    low.begin_layer(op, macs=0)
    x, y = low.tensor(op.inputs[0]), low.tensor(op.outputs[0])
    fields, mult = rescale(op, x.grid, y.grid)
    fields |= {"op": int(isa.VectorOp.MOVE), "mult1": mult, "dst_dtype": int(dtype_of(y))}
    emit_pointwise(low, op.name, *broadcast(low, [x], y), fields)


def reference(op: Op, inputs: Sequence[Array]) -> Sequence[Array]:
    del op
    return [inputs[0]]


def cases() -> Sequence[Case]:
    return []  # Relu's and Clip's cases are compiled to it


# The import pass makes these itself; parse is never called.
CODELET = Codelet("QuantizeLinear", None, lower, reference, cases)
