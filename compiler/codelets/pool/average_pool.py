"""AveragePool in two dimensions: sums of centred integers, scaled by s / (n sy) and rounded once.

Where padding is not counted, windows at the border divide by fewer elements; such parts of the
output are regions with a multiplier of their own under the common shift.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import numpy as np

from jacquard.compiler.codelets._window import output_size, taps, window_of
from jacquard.compiler.codelets.base import NARROW, Array, Case, Codelet, Node, Parsed
from jacquard.compiler.codelets.elementwise._scaling import factors_to_multipliers, output_fields
from jacquard.compiler.graph.ir import Op
from jacquard.compiler.tile.lowering import Lowering, dtype_of
from jacquard.compiler.tile.operand import Rect, Window
from jacquard.compiler.tile.pooling import Pooling, emit_pooling
from jacquard.proto import npu_isa as isa
from jacquard.proto.lib.errors import UserError
from jacquard.proto.lib.fixed_point import requantization_scale


def parse(node: Node) -> Parsed:
    x = node.activation(0)
    if len(x.shape) != 4 or x.shape[0] != 1:
        raise UserError(
            f"{node.place}: must be two-dimensional with batch 1, got {x.shape}; reshape the model"
        )
    window = window_of(node, x.shape[2:], ())
    size = output_size(node, x.shape[2:], window, bool(node.get("ceil_mode", 0)))
    include = bool(node.get("count_include_pad", 0))
    counts = tuple(_counts(window, axis, x.shape[2 + axis], size[axis], include) for axis in (0, 1))
    return Parsed((x,), {"window": window, "size": size, "counts": counts},
                  ((*x.shape[:2], *size),))


def _counts(window: Window, axis: int, size: int, outputs: int, include: bool) -> tuple[int, ...]:
    """Elements along one axis that each output divides by."""
    before, after = window.pads[axis], window.pads[axis + 2]
    low, high = (-before, size + after) if include else (0, size)
    starts = (np.arange(outputs) * window.strides[axis] - before)[:, None]
    at = starts + np.arange(window.kernel[axis]) * window.dilations[axis]
    return tuple(int(n) for n in ((at >= low) & (at < high)).sum(axis=1))


def lower(op: Op, low: Lowering) -> None:
    low.begin_layer(op, macs=0)
    x, y = low.tensor(op.inputs[0]), low.tensor(op.outputs[0])
    spans = [_spans(counts) for counts in op.attrs["counts"]]
    parts = [
        (Rect(y0, x0, y1 - y0, x1 - x0), float(county * countx))
        for (y0, y1, county), (x0, x1, countx) in itertools.product(*spans)
    ]
    factors = [float(requantization_scale([x.grid.scale], y.grid.scale, n)) for _, n in parts]
    mult, shift = factors_to_multipliers(op, factors)
    fields = output_fields(op, y.grid, shift) | {
        "op": int(isa.VectorOp.MOVE), "reduce": int(isa.ReduceOp.SUM),
        "imm1": -x.grid.zero_point, "dst_dtype": int(dtype_of(y)),
    }
    emit_pooling(
        low,
        Pooling(op.name, low.stored(op.inputs[0]), low.stored(op.outputs[0]), op.attrs["window"],
                dtype_of(x), x.grid.zero_point, fields,
                tuple((rect, m) for (rect, _), m in zip(parts, mult, strict=True))),
    )


def _spans(counts: tuple[int, ...]) -> list[tuple[int, int, int]]:
    """Runs of equal counts: (start, end, count)."""
    found, start = [], 0
    for count, group in itertools.groupby(counts):
        length = len(list(group))
        found.append((start, start + length, count))
        start += length
    return found


def reference(op: Op, inputs: Sequence[Array]) -> Sequence[Array]:
    """x [1, C, H, W] -> [1, C, OH, OW]."""
    rows, columns = (np.array(c, np.float64) for c in op.attrs["counts"])
    total = taps(inputs[0], op.attrs["window"], op.attrs["size"], 0.0).sum(axis=1)
    return [(total / (rows[:, None] * columns))[None]]


def cases() -> Sequence[Case]:
    x = {"x": (1, 20, 9, 11)}
    return [
        Case("two", x, {"kernel_shape": [2, 2], "strides": [2, 2]}),
        Case("padded", x, {"kernel_shape": [3, 3], "strides": [2, 2], "pads": [1, 1, 1, 1]}),
        Case("include_pad", x, {"kernel_shape": [3, 3], "pads": [1, 1, 1, 1],
                                "count_include_pad": 1}, unsigned=True),
        Case("ceil", x, {"kernel_shape": [3, 2], "strides": [2, 3], "ceil_mode": 1}),
        Case("same", x, {"kernel_shape": [4, 4], "strides": [3, 3], "auto_pad": "SAME_LOWER"}),
    ]


CODELET = Codelet("AveragePool", parse, lower, reference, cases, view="image",
                  reads=NARROW, writes=NARROW)
