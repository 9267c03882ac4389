"""Where: one operand everywhere, then the other where the condition holds.

The condition is a constant or a comparison's result; one of the branches may be a float constant,
which is rounded onto the other's grid.
"""

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
    Operand,
    Parsed,
)
from jacquard.compiler.codelets.elementwise._broadcast import (
    broadcast,
    operand_tensor,
    result_shape,
)
from jacquard.compiler.codelets.elementwise._compare import BOOLEAN
from jacquard.compiler.codelets.elementwise._scaling import factors_to_multipliers, output_fields
from jacquard.compiler.graph.ir import Grid, Op, QTensor
from jacquard.compiler.tile.lowering import Lowering, dtype_of
from jacquard.compiler.tile.pointwise import OUT, Pass, emit_passes
from jacquard.proto import npu_isa as isa
from jacquard.proto.lib.errors import UserError
from jacquard.proto.lib.fixed_point import quantize_constant, requantization_scale
from jacquard.proto.lib.masks import LEAST_MASK


def parse(node: Node) -> Parsed:
    """Inputs: condition, chosen where it holds, chosen elsewhere."""
    condition, *branches = (node.operand(i) for i in range(3))
    shape = result_shape(node, condition, *branches)
    floats = [x for x in branches if isinstance(x, Constant)]
    if len(floats) == 2:
        raise UserError(
            f"{node.place}: one of its branches must be quantized, got two constants; quantize one"
        )
    if floats and (floats[0].value <= LEAST_MASK).all():
        raise UserError(
            f"{node.place}: a constant of at most {LEAST_MASK:g} must mask the logits of a "
            "Softmax, got another reader; choose a constant in the tensor's range"
        )
    grids = [operand_tensor(node, x).grid for x in branches if not isinstance(x, Constant)]
    tensors = [_branch(node, f"{node.name}.{i}", x, grids[0]) for i, x in enumerate(branches)]
    grid = grids[0] if len(set(grids)) == 1 else None
    if grid is not None and floats:
        steps = quantize_constant(floats[0].value, grid.scale) + grid.zero_point
        if steps.min() < grid.lo or steps.max() > grid.hi:
            grid = None
    return Parsed((_condition(node, condition), *tensors), {}, (shape,), grid)


def _condition(node: Node, operand: Operand) -> QTensor:
    if isinstance(operand, Activation):
        if operand.tensor.grid != BOOLEAN:
            raise UserError(
                f"{node.place}: its condition must be a constant or come from a comparison, got "
                f"tensor {operand.tensor.name}; compare it with 0"
            )
        return operand.tensor
    value = node.constant(0)
    assert value is not None
    return QTensor(f"{node.name}.condition", value.shape, BOOLEAN, value.astype(np.uint8))


def _branch(node: Node, name: str, operand: Operand, grid: Grid) -> QTensor:
    """A branch as a tensor; a float constant in steps of the other's grid, without its limits."""
    if not isinstance(operand, Constant):
        return operand_tensor(node, operand)
    steps = quantize_constant(operand.value, np.float64(grid.scale)).astype(np.int32)
    return QTensor(name, steps.shape, Grid(grid.scale, 0, "int32"), steps)


def lower(op: Op, low: Lowering) -> None:
    low.begin_layer(op, macs=0)
    y = low.tensor(op.outputs[0])
    tensors = [low.tensor(name) for name in op.inputs]
    factors = [float(requantization_scale([t.grid.scale], y.grid.scale)) for t in tensors[1:]]
    mults, shift = factors_to_multipliers(op, factors)
    (condition, *branches), out = broadcast(low, tensors, y)
    names = ("chosen", "otherwise")
    fields = [
        {**output_fields(op, y.grid, shift), "imm1": -tensor.grid.zero_point, "mult1": mult}
        for tensor, mult in zip(tensors[1:], mults, strict=True)
    ]
    passes = [
        Pass({**fields[1], "op": int(isa.VectorOp.MOVE)}, OUT, names[1]),
        Pass({**fields[0], "op": int(isa.VectorOp.SELECT)}, OUT, names[0], "condition"),
    ]
    sources = dict(zip(names, branches, strict=True)) | {"condition": condition}
    emit_passes(low, op.name, sources, {}, passes, out, dtype_of(y))


def reference(op: Op, inputs: Sequence[Array]) -> Sequence[Array]:
    del op
    return [np.where(inputs[0] != 0, inputs[1], inputs[2])]


def cases() -> Sequence[Case]:
    random = np.random.default_rng(8)
    shape = (1, 20, 5, 6)

    def chosen(*size: int) -> dict[str, Array]:
        return {"c": random.random(size) < 0.5}

    return [
        Case("scales", {"a": shape, "b": shape}, constants=chosen(*shape), order=("c", "a", "b")),
        Case("constant", {"a": (5, 18)},
             constants={**chosen(5, 1), "b": np.array(0.3, np.float32)}, order=("c", "b", "a")),
        Case("constants", {"a": (2, 5, 18)}, unsigned=True, relu=True, order=("c", "a", "b"),
             constants={**chosen(2, 1, 18), "b": random.normal(size=(5, 18)).astype(np.float32)}),
        Case("wide", {"a": (4, 18), "b": (1, 18)}, constants=chosen(4, 18),
             input_dtype="int16", output_dtype="int16", order=("c", "a", "b")),
    ]


CODELET = Codelet("Where", parse, lower, reference, cases)
