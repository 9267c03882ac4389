"""Min and Max of any number of operands.

Operands of one scale are compared as integers; else each is requantized to the output under joint
multipliers first. Constant numbers are a clamp of the result.
"""

from __future__ import annotations

import dataclasses
import functools
import math
from collections.abc import Callable, Sequence

import numpy as np

from jacquard.compiler.codelets.base import Array, Case, Codelet, Constant, Node, Parsed
from jacquard.compiler.codelets.elementwise._broadcast import (
    broadcast,
    operand_tensor,
    result_shape,
)
from jacquard.compiler.codelets.elementwise._scaling import factors_to_multipliers, output_fields
from jacquard.compiler.graph.ir import Grid, Op, QTensor
from jacquard.compiler.tile.lowering import Lowering, dtype_of
from jacquard.compiler.tile.pointwise import OUT, Pass, emit_passes
from jacquard.proto import npu_isa as isa
from jacquard.proto.lib.errors import UserError
from jacquard.proto.lib.fixed_point import requantization_scale

BEST, OTHER = "best", "other"


def extreme_codelet(name: str, vector_op: isa.VectorOp, pick: Callable[..., Array]) -> Codelet:
    """Min or Max. pick: the same of two arrays."""

    def parse(node: Node) -> Parsed:
        shape = result_shape(node, *node.operands)
        constants = [x for x in node.operands if isinstance(x, Constant)]
        tensors = [operand_tensor(node, x) for x in node.operands if not isinstance(x, Constant)]
        if any(x.value.size != 1 for x in constants):
            raise UserError(
                f"{node.place}: a constant operand must be one number, got shapes "
                f"{[x.value.shape for x in constants]}; quantize it"
            )
        bound = None
        if constants:
            numbers = [x.value.reshape(()).astype(np.float32) for x in constants]
            bound = float(functools.reduce(pick, numbers))
            if math.isnan(bound):
                raise UserError(f"{node.place}: a constant must be a number, got NaN; correct it")
        grids = {tensor.grid for tensor in tensors}
        grid = tensors[0].grid if len(grids) == 1 else None
        if grid is not None and bound is not None and not _on(grid, bound):
            grid = None
        return Parsed(tuple(tensors), {"bound": bound}, (shape,), grid)

    def lower(op: Op, low: Lowering) -> None:
        low.begin_layer(op, macs=0)
        y = low.tensor(op.outputs[0])
        tensors = [low.tensor(n) for n in op.inputs]
        op = _bounded(op, upper=vector_op == isa.VectorOp.MIN)
        operands, out = broadcast(low, tensors, y)
        names = [f"x{i}" for i in range(len(tensors))]
        if len({tensor.grid.scale for tensor in tensors}) == 1:
            passes = _integers(op, tensors, names, y.grid, vector_op)
        else:
            passes = _rounded(op, tensors, names, y.grid, vector_op)
        temporaries = {n: isa.Dtype.S32 for n in (BEST, OTHER) if any(p.dst == n for p in passes)}
        emit_passes(low, op.name, dict(zip(names, operands, strict=True)), temporaries, passes,
                    out, dtype_of(y))

    def reference(op: Op, inputs: Sequence[Array]) -> Sequence[Array]:
        found = functools.reduce(pick, inputs)
        return [found if op.attrs["bound"] is None else pick(found, op.attrs["bound"])]

    def cases() -> Sequence[Case]:
        shape = (1, 20, 5, 6)
        return [
            Case("scales", {"a": shape, "b": shape}),
            Case("three", {"a": shape, "b": (1, 20, 1, 1), "c": (1, 1, 5, 6)}, unsigned=True,
                 relu=True),
            Case("constant", {"a": (5, 18)}, constants={"b": np.array(0.25, np.float32)}),
            Case("wide", {"a": (2, 5, 18), "b": (5, 1)}, input_dtype="int16",
                 output_dtype="int16"),
            Case("unsigned_wide", {"a": (5, 18), "b": (5, 18)}, input_dtype="uint16",
                 output_dtype="uint16"),
        ]

    return Codelet(name, parse, lower, reference, cases)


def _on(grid: Grid, bound: float) -> bool:
    """Whether a bound lies within the grid's range."""
    return bool(grid.lo <= np.rint(bound / grid.scale) + grid.zero_point <= grid.hi)


def _bounded(op: Op, upper: bool) -> Op:
    """The op with its constant as a clamp, under the clamp that it has."""
    bound = op.attrs["bound"]
    if bound is None:
        return op
    lo, hi = (-math.inf, bound) if upper else (bound, math.inf)
    return dataclasses.replace(op, lo=min(max(lo, op.lo), op.hi), hi=min(max(hi, op.lo), op.hi))


def _integers(
    op: Op, tensors: Sequence[QTensor], names: Sequence[str], y: Grid, vector_op: isa.VectorOp
) -> list[Pass]:
    """Compared, then requantized once."""
    factor = float(requantization_scale([tensors[0].grid.scale], y.scale))
    (mult,), shift = factors_to_multipliers(op, [factor])
    scaling = {**output_fields(op, y, shift), "mult1": mult}
    zeros = [-tensor.grid.zero_point for tensor in tensors]
    if len(tensors) == 1:
        return [Pass({**scaling, "op": int(isa.VectorOp.MOVE), "imm1": zeros[0]}, OUT, names[0])]
    passes = []
    for index in range(1, len(tensors)):
        last = index == len(tensors) - 1
        first = names[0] if index == 1 else BEST
        fields = {"op": int(vector_op), "imm1": zeros[0] if index == 1 else 0,
                  "imm2": zeros[index], **(scaling if last else {})}
        passes.append(Pass(fields, OUT if last else BEST, first, names[index]))
    return passes


def _rounded(
    op: Op, tensors: Sequence[QTensor], names: Sequence[str], y: Grid, vector_op: isa.VectorOp
) -> list[Pass]:
    """Each requantized, less the zero point, then compared."""
    factors = [float(requantization_scale([t.grid.scale], y.scale)) for t in tensors]
    mults, shift = factors_to_multipliers(op, factors)
    passes = []
    for index, (name, tensor, mult) in enumerate(zip(names, tensors, mults, strict=True)):
        scaled = {"op": int(isa.VectorOp.MOVE), "imm1": -tensor.grid.zero_point, "mult1": mult,
                  "scale": int(isa.ScaleMode.IMM), "shift": shift}
        passes.append(Pass(scaled, OTHER if index else BEST, name))
        if index:
            last = index == len(tensors) - 1
            end = {**output_fields(op, y, 0), "scale": int(isa.ScaleMode.OFF)} if last else {}
            passes.append(Pass({**end, "op": int(vector_op)}, OUT if last else BEST, BEST, OTHER))
    return passes
