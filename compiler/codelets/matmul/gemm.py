"""Gemm with constant B: rows of A are positions, its columns channels of a 1 x 1 convolution."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from jacquard.compiler.codelets._linear import (
    Weights,
    bias_steps,
    constant_weights,
    lower_constant,
    scaled,
)
from jacquard.compiler.codelets.base import NARROW, SIGNED, Array, Case, Codelet, Node, Parsed
from jacquard.compiler.codelets.matmul._absorb import factor
from jacquard.compiler.graph.ir import Op
from jacquard.compiler.tile.lowering import Lowering
from jacquard.compiler.tile.operand import Window
from jacquard.proto.lib.errors import UserError


def parse(node: Node) -> Parsed:
    x = node.activation(0)
    transposed = bool(node.get("transB", 0))
    q, scale, zero = constant_weights(node, 1, axis=0 if transposed else 1)
    alpha, beta = float(node.get("alpha", 1.0)), float(node.get("beta", 1.0))
    if node.get("transA", 0):
        raise UserError(f"{node.place}: transA must be 0, got 1; transpose A before it")
    if alpha <= 0 or beta not in (0.0, 1.0):
        raise UserError(
            f"{node.place}: alpha must be positive and beta 0 or 1, got {alpha} and {beta}; fold "
            "them into the weights and the bias"
        )
    q = q if transposed else q.T
    if x.shape[-1] != q.shape[1]:
        raise UserError(
            f"{node.place}: inner dimensions must agree, got {x.shape} x {q.shape[::-1]}; "
            "correct the model"
        )
    scale = np.asarray(scale)
    gains = () if alpha == 1.0 else (alpha,)
    step = np.asarray(np.float64(x.grid.scale) * scale)
    bias = bias_steps(node, 2 if beta else 99, scaled(step, gains), q.shape[0])
    weights = Weights(np.ascontiguousarray(q)[:, :, None, None], scale, zero, bias, bias * step,
                      gains)
    return Parsed((x,), {"weights": weights, "window": Window()}, ((*x.shape[:-1], q.shape[0]),))


def lower(op: Op, low: Lowering) -> None:
    lower_constant(op, low, op.attrs["weights"], op.attrs["window"], 1)


def reference(op: Op, inputs: Sequence[Array]) -> Sequence[Array]:
    """A [..., K] -> [..., N]."""
    weights: Weights = op.attrs["weights"]
    sums = inputs[0] @ weights.real[:, :, 0, 0].T + weights.bias_real
    return [sums * math.prod(weights.gains)]


def cases() -> Sequence[Case]:
    random = np.random.default_rng(2)

    def case(name: str, x: tuple[int, int], w: tuple[int, int], **attributes: object) -> Case:
        outputs = w[0] if attributes.get("transB") else w[1]
        constants = {
            "w": random.normal(size=w).astype(np.float32),
            "b": random.normal(size=outputs).astype(np.float32),
        }
        return Case(name, {"x": x}, attributes, constants, ("w",))

    return [
        case("vector", (1, 40), (10, 40), transB=1),
        case("matrix", (7, 13), (13, 21)),
        case("scaled", (3, 16), (16, 16), alpha=0.5),
        case("many_outputs", (2, 33), (300, 33), transB=1),
    ]


CODELET = Codelet("Gemm", parse, lower, reference, cases, view="last", absorb=factor,
                  reads=NARROW, writes=SIGNED)
