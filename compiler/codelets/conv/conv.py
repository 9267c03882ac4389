"""Conv: two-dimensional, any kernel, stride, padding, dilation and groups, on MATRIX.

Grouped and depthwise convolutions run on MATRIX too, with block-diagonal weight tiles: an output
tile reads only the input tiles that its groups touch. A depthwise pass uses one row in R, but gives
C channels of one position per cycle, which is what VECTOR's multiply-accumulate would give at C
lanes, and it shares the convolution's only code path, its padding, and the requantization.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from jacquard.compiler.codelets._linear import (
    Weights,
    bias_steps,
    constant_weights,
    lower_constant,
)
from jacquard.compiler.codelets._window import convolve, output_size, window_of
from jacquard.compiler.codelets.base import NARROW, SIGNED, Array, Case, Codelet, Node, Parsed
from jacquard.compiler.graph.ir import Op
from jacquard.compiler.tile.lowering import Lowering
from jacquard.proto.lib.errors import UserError


def parse(node: Node) -> Parsed:
    x = node.activation(0)
    q, scale, zero = constant_weights(node, 1, axis=0)
    groups = int(node.get("group", 1))
    if len(x.shape) != 4 or q.ndim != 4 or x.shape[0] != 1:
        raise UserError(
            f"{node.place}: must be two-dimensional with batch 1, got input {x.shape} and weights "
            f"{q.shape}; export with batch 1 and images"
        )
    if x.shape[1] != q.shape[1] * groups or q.shape[0] % groups:
        raise UserError(
            f"{node.place}: channels must be group x weight channels, got {x.shape[1]} channels, "
            f"{groups} groups, weights {q.shape}; correct the model"
        )
    window = window_of(node, x.shape[2:], q.shape[2:])
    step = np.asarray(np.float64(x.grid.scale) * scale)
    bias = bias_steps(node, 2, step, q.shape[0])
    height, width = output_size(node, x.shape[2:], window, ceil=False)
    return Parsed(
        (x,),
        {"weights": Weights(q, scale, zero, bias, bias * step), "window": window, "groups": groups},
        ((1, q.shape[0], height, width),),
    )


def lower(op: Op, low: Lowering) -> None:
    lower_constant(op, low, op.attrs["weights"], op.attrs["window"], op.attrs["groups"])


def reference(op: Op, inputs: Sequence[Array]) -> Sequence[Array]:
    """x [1, C, H, W] -> [1, M, OH, OW]: a sum over kernel positions."""
    weights: Weights = op.attrs["weights"]
    result = convolve(inputs[0], weights.real, op.attrs["window"], op.attrs["groups"])
    return [result + weights.bias_real.reshape(1, -1, 1, 1)]


def cases() -> Sequence[Case]:
    random = np.random.default_rng(1)

    def case(name: str, x: tuple[int, ...], w: tuple[int, ...], bias: bool = True,
             unsigned: bool = False, relu: bool = False, **attributes: object) -> Case:
        constants = {"w": random.normal(size=w).astype(np.float32)}
        if bias:
            constants["b"] = random.normal(size=w[0]).astype(np.float32)
        return Case(name, {"x": x}, attributes, constants, ("w",), unsigned=unsigned, relu=relu)

    return [
        case("pointwise", (1, 8, 5, 5), (12, 8, 1, 1)),
        case("three_by_three", (1, 6, 7, 9), (5, 6, 3, 3), pads=[1, 1, 1, 1], relu=True),
        case("strided", (1, 5, 9, 8), (7, 5, 3, 3), pads=[1, 1, 1, 1], strides=[2, 2],
             unsigned=True),
        case("strided_pointwise", (1, 9, 8, 7), (6, 9, 1, 1), strides=[2, 2]),
        case("dilated", (1, 4, 11, 10), (4, 4, 3, 3), dilations=[2, 3], pads=[2, 3, 2, 3]),
        case("uneven_padding", (1, 3, 8, 8), (4, 3, 4, 2), pads=[0, 1, 3, 0], bias=False),
        case("same_upper", (1, 4, 7, 6), (4, 4, 3, 3), auto_pad="SAME_UPPER", strides=[2, 2]),
        case("first_layer", (1, 3, 17, 19), (8, 3, 7, 7), pads=[3, 3, 3, 3], strides=[2, 2],
             relu=True),
        case("depthwise", (1, 20, 8, 8), (20, 1, 3, 3), group=20, pads=[1, 1, 1, 1]),
        case("depthwise_twice", (1, 6, 6, 6), (12, 1, 3, 3), group=6, strides=[2, 2]),
        case("grouped", (1, 24, 6, 6), (36, 8, 3, 3), group=3, pads=[1, 1, 1, 1]),
        case("long_reduction", (1, 200, 4, 4), (9, 200, 3, 3), pads=[1, 1, 1, 1]),
        case("wide", (1, 2, 3, 150), (4, 2, 3, 5), pads=[1, 2, 1, 2]),
        case("large_kernel", (1, 2, 20, 20), (3, 2, 11, 11), strides=[3, 3]),
    ]


CODELET = Codelet("Conv", parse, lower, reference, cases, view="image", reads=NARROW, writes=SIGNED)
