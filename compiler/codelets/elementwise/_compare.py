"""Comparisons: 0 or 1 for a Where, or for the QuantizeLinear behind a Cast.

Tensors of one scale are compared as integers. A float constant becomes the integer at which the
outcome changes, so that the device says what real arithmetic says.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from jacquard.compiler.codelets.base import Array, Case, Codelet, Constant, Node, Parsed
from jacquard.compiler.codelets.elementwise._broadcast import (
    broadcast,
    integer_constant,
    operand_tensor,
    result_shape,
)
from jacquard.compiler.graph.ir import Grid, Op
from jacquard.compiler.tile.lowering import Lowering, dtype_of
from jacquard.compiler.tile.pointwise import emit_pointwise
from jacquard.proto import npu_isa as isa
from jacquard.proto.lib.errors import UserError

BOOLEAN = Grid(1.0, 0, "uint8")
_FAR = 2**20  # past every integer of 16 bits
_MIRRORED = {isa.VectorOp.LT: isa.VectorOp.GT, isa.VectorOp.LE: isa.VectorOp.GE,
             isa.VectorOp.GT: isa.VectorOp.LT, isa.VectorOp.GE: isa.VectorOp.LE,
             isa.VectorOp.EQ: isa.VectorOp.EQ}


def compare_codelet(name: str, vector_op: isa.VectorOp, test: Callable[..., Array]) -> Codelet:
    """One comparison. test: the same of two arrays."""

    def parse(node: Node) -> Parsed:
        a, b = node.operand(0), node.operand(1)
        shape = result_shape(node, a, b)
        mirrored = isinstance(a, Constant)
        first, second = (b, a) if mirrored else (a, b)
        x = operand_tensor(node, first)
        own = _MIRRORED[vector_op] if mirrored else vector_op
        if not isinstance(second, Constant):
            y = operand_tensor(node, second)
            if x.grid.scale != y.grid.scale:
                raise UserError(
                    f"{node.place}: compared tensors must have one scale, got {x.grid.scale} and "
                    f"{y.grid.scale}; quantize both with the same scale"
                )
            return Parsed((x, y), {"test": own, "mirrored": False}, (shape,), BOOLEAN)
        value = second.value.astype(np.float32).astype(np.float64)
        if np.isnan(value).any():
            raise UserError(f"{node.place}: a constant must be a number, got NaN; correct it")
        least, integer_test = _threshold(own, value, x.grid.scale)
        bound = integer_constant(f"{node.name}.bound", least)
        attrs = {"test": integer_test, "mirrored": mirrored, "constant": value}
        return Parsed((x, bound), attrs, (shape,), BOOLEAN)

    def lower(op: Op, low: Lowering) -> None:
        low.begin_layer(op, macs=0)
        y = low.tensor(op.outputs[0])
        a, b = (low.tensor(n) for n in op.inputs)
        no, yes = (_quantized(op, y.grid, value) for value in (0.0, 1.0))
        fields = {
            "op": int(op.attrs["test"]), "imm1": -a.grid.zero_point, "imm2": -b.grid.zero_point,
            "scale": int(isa.ScaleMode.IMM), "mult1": yes - no, "zero_point": no,
            "dst_dtype": int(dtype_of(y)),
        }
        emit_pointwise(low, op.name, *broadcast(low, [a, b], y), fields)

    def reference(op: Op, inputs: Sequence[Array]) -> Sequence[Array]:
        other = op.attrs["constant"] if "constant" in op.attrs else inputs[1]
        sides = (other, inputs[0]) if op.attrs["mirrored"] else (inputs[0], other)
        return [test(*sides).astype(np.float64)]

    def cases() -> Sequence[Case]:
        return [
            Case("number", {"x": (5, 18)}, constants={"c": np.array(0.0, np.float32)}),
            Case("numbers", {"x": (1, 20, 5, 6)},
                 constants={"c": np.linspace(-1, 1, 20, dtype=np.float32).reshape(20, 1, 1)},
                 order=("c", "x"), input_dtype="int16"),
        ]

    return Codelet(name, parse, lower, reference, cases)


def _quantized(op: Op, grid: Grid, value: float) -> int:
    """A number, clamped, as ONNX quantizes it: a float32 division."""
    steps = np.rint(np.float32(min(max(value, op.lo), op.hi)) / np.float32(grid.scale))
    return int(np.clip(float(steps) + grid.zero_point, grid.lo, grid.hi))


def _threshold(
    test: isa.VectorOp, value: Array, scale: float
) -> tuple[Array, isa.VectorOp]:
    """(integers int64, test) so that `q * scale` compares with `value` as q does with them."""
    with np.errstate(over="ignore"):
        near = np.clip(np.rint(value / scale), -_FAR, _FAR)
    around = near + np.arange(-1, 3, dtype=np.float64).reshape(-1, *(1,) * value.ndim)
    reals = around * scale
    if test == isa.VectorOp.EQ:
        equal = reals == value
        found = np.where(equal.any(axis=0), (around * equal).sum(axis=0), 2 * _FAR)
        return found.astype(np.int64), test
    below = reals < value if test in (isa.VectorOp.LT, isa.VectorOp.GE) else reals <= value
    least = (near - 1 + below.sum(axis=0)).astype(np.int64)  # the first that is not below
    less = test in (isa.VectorOp.LT, isa.VectorOp.LE)
    return least, isa.VectorOp.LT if less else isa.VectorOp.GE
