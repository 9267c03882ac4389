"""MatMul: with constant B a 1 x 1 convolution, with two activations a product per batch entry.

A product's right-hand side goes to WBUF straight from DRAM: a block of a channel tile is a row of
an array tile. Both zero points are subtracted inside the array, so the product is exact. An
Add of constants behind it is its bias, a factor part of its scale (_absorb.py). Where the left operand
is weights of its rows, a third operand has the rows' factors (passes/row_weights.py).
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence

import numpy as np

from jacquard.compiler.codelets._linear import (
    Weights,
    constant_weights,
    entry_steps,
    lower_constant,
    requant_steps,
    scaled,
)
from jacquard.compiler.codelets.base import (
    NARROW,
    SIGNED,
    Activation,
    Array,
    Case,
    Codelet,
    Node,
    Parsed,
)
from jacquard.compiler.codelets.matmul._absorb import absorb
from jacquard.compiler.codelets.elementwise._scaling import factors_to_multipliers
from jacquard.compiler.graph.ir import Op, QTensor
from jacquard.compiler.tile.contraction import emit
from jacquard.compiler.tile.lowering import Lowering, Stored
from jacquard.compiler.tile.operand import BlockedOperand, TensorWeights, Window
from jacquard.compiler.tile.problem import Contraction, Requant
from jacquard.proto.lib.errors import UserError
from jacquard.proto.lib.fixed_point import requantization_scale


def parse(node: Node) -> Parsed:
    a = node.activation(0)
    operand = node.operand(1)
    if isinstance(operand, Activation):
        return _product(node, operand)
    q, scale, zero = constant_weights(node, 1, axis=-1)
    if q.ndim > 2 and math.prod(q.shape[:-2]) == 1:
        q = q.reshape(q.shape[-2:])
    if q.ndim != 2 or len(a.shape) not in (2, 3):
        raise UserError(
            f"{node.place}: must be a matrix of constants and an activation of 2 or 3 dimensions, "
            f"got {q.shape} and {a.shape}; reshape the model"
        )
    if a.shape[-1] != q.shape[0]:
        raise UserError(
            f"{node.place}: inner dimensions must agree, got {a.shape} x {q.shape}; "
            "correct the model"
        )
    weights = Weights(q.T[:, :, None, None], np.asarray(scale), zero,
                      np.zeros(q.shape[1], np.int64), np.zeros(q.shape[1]))
    return Parsed((a,), {"weights": weights, "window": Window()}, ((*a.shape[:-1], q.shape[1]),))


def _product(node: Node, operand: Activation) -> Parsed:
    a, b = node.activation(0), operand.tensor
    batch, other = a.shape[:-2], b.shape[:-2]
    alike = math.prod(other) == 1 or (
        math.prod(batch) == math.prod(other) and _trimmed(batch) == _trimmed(other)
    )
    if not alike or len(a.shape) < 2 or len(b.shape) < 2 or a.shape[-1] != b.shape[-2]:
        raise UserError(
            f"{node.place}: must multiply [..., M, K] by [..., K, N] with the batch of the first, "
            f"got {a.shape} x {b.shape}; correct the model"
        )
    shape = (*np.broadcast_shapes(batch, other), a.shape[-2], b.shape[-1])
    return Parsed((a, b), {}, (tuple(int(n) for n in shape),))


def _trimmed(batch: tuple[int, ...]) -> tuple[int, ...]:
    """Without the ones in front."""
    return batch[next((i for i, n in enumerate(batch) if n != 1), len(batch)):]


def lower(op: Op, low: Lowering) -> None:
    if "weights" in op.attrs:
        lower_constant(op, low, op.attrs["weights"], op.attrs["window"], 1)
        return
    names = (*op.inputs[:2], *op.outputs)
    a, b, y = (low.tensor(name) for name in names)
    if low.arch.weight_bits < 8:
        raise UserError(
            f"layer {op.name}: a product of two activations needs an array of 8-bit weights, got "
            f"one of {low.arch.weight_bits} bits; choose another configuration"
        )
    left, right, out = (low.stored(name) for name in names)
    batch = math.prod(y.shape[:-2])
    rows, depth, outputs = a.shape[-2], a.shape[-1], b.shape[-1]
    passes = batch * -(-depth // low.arch.rows) * -(-outputs // low.arch.cols)
    low.begin_layer(op, macs=batch * rows * depth * outputs,
                    array_cycles=low.array_cycles(passes, rows))
    requants = _requants(op, a, b, y)
    factors: Stored | None = None
    if "row_shift" in op.attrs:
        requants = [dataclasses.replace(r, shift=op.attrs["row_shift"]) for r in requants]
        factors = low.stored(op.inputs[2])
    shared = math.prod(b.shape[:-2]) == 1
    for entry in range(batch):
        emit(
            low,
            Contraction(
                op.name,
                BlockedOperand(left.columns(entry * rows, rows), Window(), a.grid.zero_point),
                TensorWeights(right.columns(0 if shared else entry * depth, depth), low.arch.rows,
                              b.grid.zero_point),
                out.columns(entry * rows, rows), a.grid.zero_point, a.grid.dtype == "uint8",
                b.grid.zero_point, b.grid.dtype == "uint8", requants[entry % len(requants)],
                factors=None if factors is None else factors.columns(entry * rows, rows),
            ),
        )


def _requants(op: Op, a: QTensor, b: QTensor, y: QTensor) -> list[Requant]:
    """The way of each entry's accumulators to y, or one for all; they share their shift."""
    steps = scaled(np.asarray(np.float64(a.grid.scale) * entry_steps(b)), op.attrs.get("gains", ()))
    bias = op.attrs.get("bias", np.zeros(y.shape[-1], np.int64))
    if not steps.ndim:
        return [requant_steps(op, steps, y, bias)]
    factors = requantization_scale([steps], np.float64(y.grid.scale))
    mults, shift = factors_to_multipliers(op, factors.tolist())
    first = requant_steps(op, steps[0], y, bias)
    return [
        dataclasses.replace(first, mult=np.full_like(first.mult, mult), shift=shift)
        for mult in mults
    ]


def reference(op: Op, inputs: Sequence[Array]) -> Sequence[Array]:
    if "weights" not in op.attrs:
        sums = inputs[0] @ inputs[1] + op.attrs.get("bias_real", 0.0)
        return [sums * math.prod(op.attrs.get("gains", ()))]
    weights: Weights = op.attrs["weights"]
    sums = inputs[0] @ weights.real[:, :, 0, 0].T + weights.bias_real
    return [sums * math.prod(weights.gains)]


def cases() -> Sequence[Case]:
    random = np.random.default_rng(3)

    def weights(*shape: int) -> dict[str, Array]:
        return {"w": random.normal(size=shape).astype(np.float32)}

    return [
        Case("matrix", {"x": (7, 13)}, constants=weights(13, 21), weights=("w",)),
        Case("sequence", {"x": (1, 9, 20)}, constants=weights(20, 33), weights=("w",),
             unsigned=True),
        Case("product", {"a": (7, 13), "b": (13, 21)}),
        Case("batch", {"a": (3, 5, 18), "b": (3, 18, 6)}, unsigned=True),
        Case("shared", {"a": (3, 5, 18), "b": (18, 6)}),
        Case("heads", {"a": (1, 3, 6, 18), "b": (1, 3, 18, 7)}),
    ]


CODELET = Codelet("MatMul", parse, lower, reference, cases, view="last", absorb=absorb,
                  reads=NARROW, writes=SIGNED)
