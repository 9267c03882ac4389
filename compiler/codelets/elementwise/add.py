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
    QuantizedConstant,
)
from jacquard.compiler.codelets.elementwise._broadcast import broadcast_operand, operand_tensor
from jacquard.compiler.codelets.elementwise._scaling import factors_to_multipliers, output_fields
from jacquard.compiler.graph.ir import Grid, Op, QTensor
from jacquard.compiler.tile.lowering import Lowering, dtype_of
from jacquard.compiler.tile.pointwise import emit_pointwise
from jacquard.proto import npu_isa as isa
from jacquard.proto.lib.errors import UserError
from jacquard.proto.lib.fixed_point import OFFSET_STEP, quantize_offset, requantization_scale


def parse(node: Node) -> Parsed:
    """Constants in float are offsets: the output's scale decides their grid, at lowering."""
    operands = [node.operand(0), node.operand(1)]
    shapes = []
    for operand in operands:
        if isinstance(operand, Activation):
            shapes.append(operand.tensor.shape)
        elif isinstance(operand, QuantizedConstant):
            shapes.append(operand.q.shape)
        elif isinstance(operand, Constant):
            shapes.append(operand.value.shape)
        else:
            raise UserError(f"{node.place}: must have two operands; correct the model")
    try:
        shape = tuple(int(n) for n in np.broadcast_shapes(*shapes))
    except ValueError:
        raise UserError(
            f"{node.place}: shapes must broadcast, got {shapes[0]} and {shapes[1]}; "
            "correct the model"
        ) from None
    if not isinstance(operands[0], Activation):
        operands.reverse()
    first, second = operands
    assert isinstance(first, Activation)
    if isinstance(second, Constant):
        return Parsed((first.tensor,), {"offset": second.value.astype(np.float64)}, (shape,))
    tensors = (first.tensor, operand_tensor(node, second, shape))
    return Parsed(tensors, {"plain": True}, (shape,))


def lower(op: Op, low: Lowering) -> None:
    low.begin_layer(op, macs=0)
    x, y = low.tensor(op.inputs[0]), low.tensor(op.outputs[0])
    if "offset" in op.attrs:
        steps = quantize_offset(op.attrs["offset"], y.grid.scale)
        shape = (1,) * (len(y.shape) - steps.ndim) + steps.shape
        other = QTensor(f"{op.name}.offset", shape, Grid(1.0, 0, "int32"),
                        steps.reshape(shape).astype(np.int32))
        second = OFFSET_STEP
    else:
        other = low.tensor(op.inputs[1])
        second = float(requantization_scale([other.grid.scale], y.grid.scale))
    first = float(requantization_scale([x.grid.scale], y.grid.scale))
    (mult1, mult2), shift = factors_to_multipliers(op, [first, second])
    fields = output_fields(op, y.grid, shift) | {
        "op": int(isa.VectorOp.SADD), "imm1": -x.grid.zero_point, "mult1": mult1,
        "imm2": -other.grid.zero_point, "mult2": -mult2 if op.attrs.get("negate") else mult2,
        "dst_dtype": int(dtype_of(y)),
    }
    emit_pointwise(low, op.name, [broadcast_operand(low, x, y), broadcast_operand(low, other, y)],
                   low.stored(op.outputs[0]), fields)


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
        Case("large", {"a": (1, 32, 40, 41), "b": (1, 32, 40, 41)}),
    ]


CODELET = Codelet("Add", parse, lower, reference, cases)
