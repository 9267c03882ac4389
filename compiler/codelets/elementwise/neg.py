"""Neg: the multiplier's sign."""

from __future__ import annotations

from collections.abc import Sequence

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
    return Parsed((x,), {}, (x.shape,))


def lower(op: Op, low: Lowering) -> None:
    emit(op, low, {"op": int(isa.VectorOp.MOVE)}, ("mult1",))


def emit(op: Op, low: Lowering, fields: dict[str, int], negated: tuple[str, ...]) -> None:
    """One instruction; `negated` names its multipliers that are below 0."""
    low.begin_layer(op, macs=0)
    x, y = low.tensor(op.inputs[0]), low.tensor(op.outputs[0])
    factor = float(requantization_scale([x.grid.scale], y.grid.scale))
    (mult,), shift = factors_to_multipliers(op, [factor])
    mults = {name: -mult if name in negated else mult for name in ("mult1", "mult2")}
    scaled = {**output_fields(op, y.grid, shift), **mults, **fields,
              "imm1": -x.grid.zero_point, "dst_dtype": int(dtype_of(y))}
    emit_pointwise(low, op.name, *broadcast(low, [x], y), scaled)


def reference(op: Op, inputs: Sequence[Array]) -> Sequence[Array]:
    del op
    return [-inputs[0]]


def cases() -> Sequence[Case]:
    return [
        Case("image", {"x": (1, 20, 5, 6)}),
        Case("unsigned", {"x": (5, 18)}, unsigned=True, relu=True),
        Case("wide", {"x": (5, 18)}, input_dtype="int16", output_dtype="int16"),
    ]


CODELET = Codelet("Neg", parse, lower, reference, cases)
