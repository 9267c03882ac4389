"""Reductions over dimensions: of positions (next to each other), or of the channels alone.

Which of the dimensions are the channels is the pass `views`' choice, so it is lowering that refuses
what cannot be done. One rounding in any case.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from jacquard.compiler.codelets.base import SIGNED, Array, Case, Codelet, Node, Parsed
from jacquard.compiler.codelets.elementwise._scaling import rescale
from jacquard.compiler.graph.ir import Op, QTensor
from jacquard.compiler.tile.lowering import Lowering, dtype_of
from jacquard.compiler.tile.reduction import (
    Reduction,
    emit_over_channels,
    emit_over_positions,
    positions,
)
from jacquard.proto import npu_isa as isa
from jacquard.proto.lib.errors import UserError


def reduction_codelet(
    op: str,
    reduce: isa.ReduceOp,
    function: Callable[..., Array],
    cases: Callable[[], Sequence[Case]],
    mean: bool = False,
) -> Codelet:
    """function: NumPy's. mean: the sum is divided by the count."""
    exact = reduce != isa.ReduceOp.SUM

    def parse(node: Node) -> Parsed:
        x = node.activation(0)
        axes, keep = _axes(node, x), bool(node.get("keepdims", 1))
        shape = tuple(1 if a in axes else n for a, n in enumerate(x.shape) if keep or a not in axes)
        return Parsed((x,), {"axes": axes, "keep": keep}, (shape,), x.grid if exact else None)

    def lower(found: Op, low: Lowering) -> None:
        low.begin_layer(found, macs=0)
        _lower(found, low, reduce, mean)

    def reference(found: Op, inputs: Sequence[Array]) -> Sequence[Array]:
        return [function(inputs[0], axis=found.attrs["axes"], keepdims=found.attrs["keep"])]

    return Codelet(op, parse, lower, reference, cases, view="same", writes=SIGNED)


def _axes(node: Node, x: QTensor) -> tuple[int, ...]:
    rank = len(x.shape)
    given = node.constant(1) if node.operand(1) is not None else node.get("axes")
    axes = () if given is None else tuple(
        sorted({int(a) % rank for a in np.asarray(given).reshape(-1)})
    )
    if not axes and node.get("noop_with_empty_axes", 0):
        raise UserError(f"{node.place}: must have axes, got none; drop the node")
    return axes or tuple(range(rank))


def _lower(op: Op, low: Lowering, reduce: isa.ReduceOp, mean: bool) -> None:
    x, y = low.tensor(op.inputs[0]), low.tensor(op.outputs[0])
    axes = op.attrs["axes"]
    count = float(np.prod([x.shape[a] for a in axes])) if mean else 1.0
    fields, mult = rescale(op, x.grid, y.grid, count)
    offset = fields.pop("imm1", 0)
    if reduce == isa.ReduceOp.SUM and not offset and x.grid.zero_point:
        # The grids agree, but a sum has its own zero point for every element.
        fields["zero_point"] = y.grid.zero_point
        offset = -x.grid.zero_point
    problem = Reduction(low.stored(x.name), low.stored(y.name), dtype_of(x), dtype_of(y), reduce,
                        offset, {**fields, "mult1": mult})
    features = 1 if x.image else len(x.shape) - 1
    counted = {a for a in axes if x.shape[a] > 1}
    if counted == {features}:
        # Without its dimension the features are those that were last of the positions.
        emit_over_channels(low, problem, across=y.view.channels > 1)
        return
    sizes = tuple(1 if a == features else n for a, n in enumerate(x.shape))
    three = positions(sizes, tuple(counted))
    kept = y.view.channels == x.view.channels and (x.image == y.image or three is None
                                                   or three[0] * three[2] == 1)
    if features in counted or three is None or not kept:
        raise UserError(
            f"node {op.name} ({op.kind}): must run over the features alone (axis {features}), or "
            f"over neighbouring others, got axes {axes} of {x.shape}; split it into two with a "
            "QuantizeLinear between"
        )
    emit_over_positions(low, problem, three)


def reduction_cases() -> Sequence[Case]:
    """Of any reduction."""

    def axes(*values: int) -> dict[str, np.ndarray]:
        return {"axes": np.array(values, np.int64)}

    wide: dict[str, Any] = {"input_dtype": "int16", "output_dtype": "int16"}
    return [
        Case("image", {"x": (1, 20, 5, 6)}, {"keepdims": 0}, axes(2, 3)),
        Case("image_kept", {"x": (1, 20, 5, 6)}, {"keepdims": 1}, axes(-1, -2)),
        Case("large_image", {"x": (1, 3, 70, 90)}, {"keepdims": 0}, axes(2, 3), **wide),
        Case("columns", {"x": (1, 20, 5, 6)}, {"keepdims": 1}, axes(3), unsigned=True),
        Case("lines", {"x": (1, 20, 5, 6)}, {"keepdims": 1}, axes(2), input_dtype="int16"),
        Case("channels", {"x": (1, 21, 3, 5)}, {"keepdims": 1}, axes(1), unsigned=True),
        Case("sequence", {"x": (1, 9, 21)}, {"keepdims": 0}, axes(1)),
        Case("middle", {"x": (3, 9, 21)}, {"keepdims": 0}, axes(1), output_dtype="int16"),
        Case("features", {"x": (1, 9, 21)}, {"keepdims": 1}, axes(-1)),
        Case("features_away", {"x": (2, 9, 21)}, {"keepdims": 0}, axes(-1)),
        Case("many_features_away", {"x": (40, 37)}, {"keepdims": 0}, axes(-1), **wide),
        Case("long_rows", {"x": (3, 5000)}, {"keepdims": 1}, axes(-1), **wide),
        Case("vector", {"x": (1, 37)}, {"keepdims": 0}, axes(1)),
        Case("clamped", {"x": (3, 21)}, {"keepdims": 1}, axes(1), relu=True),
    ]
