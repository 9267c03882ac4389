"""Add of two activations, or of one and a constant: both scaled, summed exactly, rounded once."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from jacquard.compiler.codelets.base import (
    Activation,
    Array,
    Case,
    Codelet,
    Constant,
    Node,
    Parsed,
)
from jacquard.compiler.codelets.elementwise._broadcast import (
    broadcast,
    integer_constant,
    operand_tensor,
    result_shape,
)
from jacquard.compiler.codelets.elementwise._scaling import (
    factors_to_multipliers,
    named,
    output_fields,
)
from jacquard.compiler.graph.ir import Op, QTensor
from jacquard.compiler.tile.lowering import Lowering, dtype_of
from jacquard.compiler.tile.pointwise import emit_pointwise
from jacquard.proto import npu_isa as isa
from jacquard.proto.lib.fixed_point import OFFSET_STEP, quantize_offset, requantization_scale


def parse(node: Node) -> Parsed:
    """Constants in float are offsets: the output's scale decides their grid, at lowering."""
    operands = [node.operand(0), node.operand(1)]
    shape = result_shape(node, *operands)
    if not isinstance(operands[0], Activation):
        operands.reverse()
    first, second = operands
    assert isinstance(first, Activation)
    if isinstance(second, Constant):
        return Parsed((first.tensor,), {"offset": second.value.astype(np.float64)}, (shape,))
    tensors = (first.tensor, operand_tensor(node, second))
    return Parsed(tensors, {"plain": True}, (shape,))


def lower(op: Op, low: Lowering) -> None:
    low.begin_layer(op, macs=0)
    x, y = low.tensor(op.inputs[0]), low.tensor(op.outputs[0])
    if y.grid.scales:
        _lower_by_channel(op, low, x, low.tensor(op.inputs[1]), y)
        return
    if "offset" in op.attrs:
        steps = named(op, lambda: quantize_offset(op.attrs["offset"], y.grid.scale))
        other = integer_constant(f"{op.name}.offset", steps)
        second = OFFSET_STEP
    else:
        other = low.tensor(op.inputs[1])
        second = float(requantization_scale([other.grid.scale], y.grid.scale))
    first = float(requantization_scale([x.grid.scale], y.grid.scale))
    mults, shift = factors_to_multipliers(op, [first, second])
    mult1, mult2 = (m * s for m, s in zip(mults, op.attrs.get("signs", (1, 1)), strict=True))
    fields = output_fields(op, y.grid, shift) | {
        "op": int(isa.VectorOp.SADD), "imm1": -x.grid.zero_point, "mult1": mult1,
        "imm2": -other.grid.zero_point, "mult2": mult2, "dst_dtype": int(dtype_of(y)),
    }
    emit_pointwise(low, op.name, *broadcast(low, [x, other], y), fields)


def _lower_by_channel(op: Op, low: Lowering, x: QTensor, other: QTensor, y: QTensor) -> None:
    """To a result with a scale per channel: both operands have one scale, so that a multiplier per
    lane serves their sum."""
    factors = requantization_scale([x.grid.scale], y.steps.reshape(-1))
    mults, shift = factors_to_multipliers(op, factors.tolist())
    params = low.load_params(np.zeros(factors.size, np.int64), np.asarray(mults, np.int32))
    fields = output_fields(op, y.grid, shift) | {
        "op": int(isa.VectorOp.ADD), "scale": int(isa.ScaleMode.PER_LANE),
        "imm1": -x.grid.zero_point, "imm2": -other.grid.zero_point, "dst_dtype": int(dtype_of(y)),
    }
    emit_pointwise(low, op.name, *broadcast(low, [x, other], y), fields, params)


def reference(op: Op, inputs: Sequence[Array]) -> Sequence[Array]:
    """Real sums, broadcast."""
    return [inputs[0] + (op.attrs["offset"] if "offset" in op.attrs else inputs[1])]


def cases() -> Sequence[Case]:
    random = np.random.default_rng(4)
    shape = (1, 20, 5, 6)
    return [
        Case("same", {"a": shape, "b": shape}),
        Case("relu", {"a": shape, "b": shape}, relu=True, unsigned=True),
        Case("channels", {"a": shape, "b": (1, 20, 1, 1)}),
        Case("rows", {"a": shape, "b": (1, 20, 5, 1)}),
        Case("matrix", {"a": (3, 40), "b": (1, 40)}),
        Case("constant", {"a": (3, 18)},
             constants={"b": random.normal(size=18).astype(np.float32)}),
        Case("lanes", {"a": (3, 7, 20), "b": (3, 7, 1)}),
        Case("outer", {"a": (3, 1, 18), "b": (1, 5, 18)}),
        Case("image_lanes", {"a": shape, "b": (1, 1, 5, 6)}, unsigned=True),
        Case("number", {"a": shape, "b": (1, 1, 1, 1)}),
        Case("wide", {"a": (1, 9, 40), "b": (1, 9, 40)}, input_dtype="int16",
             output_dtype="int16"),
        Case("wide_offset", {"a": (1, 9, 40)}, input_dtype="int16", output_dtype="uint16",
             constants={"b": random.normal(size=(1, 9, 40)).astype(np.float32)}),
        Case("narrowing", {"a": (4, 9, 10), "b": (4, 1, 10)}, input_dtype="uint16", relu=True),
        Case("large", {"a": (1, 32, 40, 41), "b": (1, 32, 40, 41)}),
    ]


CODELET = Codelet("Add", parse, lower, reference, cases)
