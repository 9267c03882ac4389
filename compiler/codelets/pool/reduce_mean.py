"""ReduceMean over all positions (height and width, or all but the features) or over the features.

Over positions it is a global pooling. Over features VECTOR sums along the channel tiles and then
across lanes, the last tile's padding masked off. One rounding either way.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from jacquard.compiler.codelets.base import Array, Case, Codelet, Node, Parsed
from jacquard.compiler.codelets.elementwise._scaling import rescale
from jacquard.compiler.graph.ir import Op
from jacquard.compiler.tile.lowering import Lowering, dtype_of
from jacquard.compiler.tile.pooling import emit_feature_mean, emit_global_mean
from jacquard.proto import npu_isa as isa
from jacquard.proto.lib.errors import UserError


def parse(node: Node) -> Parsed:
    x = node.activation(0)
    rank = len(x.shape)
    given = node.constant(1) if node.operand(1) is not None else node.get("axes")
    axes = tuple(sorted({int(a) % rank for a in np.asarray(given).reshape(-1)})) if (
        given is not None
    ) else ()
    if not axes:
        if node.get("noop_with_empty_axes", 0):
            raise UserError(f"{node.place}: must have axes, got none; drop the node")
        axes = tuple(range(rank))
    keep = bool(node.get("keepdims", 1))
    features = 1 if rank == 4 else rank - 1
    others = tuple(a for a in range(rank) if a != features and x.shape[a] > 1)
    counted = tuple(a for a in axes if x.shape[a] > 1)
    over_features = features in axes and not set(others) & set(counted)
    over_positions = set(counted) == set(others)
    shape = tuple(
        1 if a in axes else n for a, n in enumerate(x.shape) if keep or a not in axes
    )
    if not (over_features or over_positions) or (over_features and not keep and counted):
        raise UserError(
            f"{node.place}: axes must be all positions or (keeping dimensions) the features alone, "
            f"got {axes} of {x.shape}; split the mean into two with a QuantizeLinear between"
        )
    features_only = over_features and not over_positions
    return Parsed((x,), {"axes": axes, "keep": keep, "features": features_only}, (shape,))


def lower(op: Op, low: Lowering) -> None:
    low.begin_layer(op, macs=0)
    x, y = low.tensor(op.inputs[0]), low.tensor(op.outputs[0])
    count = float(np.prod([x.shape[a] for a in op.attrs["axes"]]))
    fields, mult = rescale(op, x.grid, y.grid, count)
    fields |= {"op": int(isa.VectorOp.MOVE), "mult1": mult, "dst_dtype": int(dtype_of(y))}
    emit = emit_feature_mean if op.attrs["features"] else emit_global_mean
    emit(low, op.name, low.stored(op.inputs[0]), low.stored(op.outputs[0]), dtype_of(x), fields)


def reference(op: Op, inputs: Sequence[Array]) -> Sequence[Array]:
    return [np.mean(inputs[0], axis=op.attrs["axes"], keepdims=op.attrs["keep"])]


def cases() -> Sequence[Case]:
    def axes(*values: int) -> dict[str, np.ndarray]:
        return {"axes": np.array(values, np.int64)}

    return [
        Case("image", {"x": (1, 20, 5, 6)}, {"keepdims": 0}, axes(2, 3)),
        Case("image_kept", {"x": (1, 20, 5, 6)}, {"keepdims": 1}, axes(-1, -2)),
        Case("sequence", {"x": (1, 9, 21)}, {"keepdims": 0}, axes(1)),
        Case("features", {"x": (1, 9, 21)}, {"keepdims": 1}, axes(-1)),
        Case("channels", {"x": (1, 21, 3, 5)}, {"keepdims": 1}, axes(1), unsigned=True),
    ]


CODELET = Codelet("ReduceMean", parse, lower, reference, cases, view="image")
