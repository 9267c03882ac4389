"""What the operators that move elements share: NumPy says where each element comes from."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from jacquard.compiler.codelets.base import Array, Node, Parsed, bounds, check_signed, clamped
from jacquard.compiler.graph.ir import Op, QTensor
from jacquard.compiler.tile.lowering import Lowering, dtype_of
from jacquard.compiler.tile.move import Finish, Source, byte_offsets, emit_move
from jacquard.proto.lib.errors import UserError
from jacquard.proto.lib.fixed_point import quantize_multipliers, requantization_scale

FILL = -1  # in an element map: no source element, padding


def parsed(
    node: Node, inputs: Sequence[QTensor], maps: Sequence[Array], fill: float = 0.0
) -> Parsed:
    """A move whose output i takes, at each place, element `maps[i]` of the concatenated inputs.

    An element map numbers the inputs' elements through, flattened one after another in ONNX order.
    """
    grids = {tensor.grid for tensor in inputs}
    return Parsed(
        tuple(inputs),
        {"maps": tuple(maps), "fill": fill},
        tuple(tuple(int(n) for n in m.shape) for m in maps),
        inputs[0].grid if len(grids) == 1 else None,
    )


def numbered(tensor: QTensor, start: int = 0) -> Array:
    """The tensor's elements numbered in ONNX order."""
    size = int(np.prod(tensor.shape))
    return np.arange(start, start + size, dtype=np.int64).reshape(tensor.shape)


def lower(op: Op, low: Lowering) -> None:
    """Emits any of these operators from its element map."""
    low.begin_layer(op, macs=0)
    inputs = [low.tensor(name) for name in op.inputs]
    out = low.tensor(op.outputs[0])
    places = [low.stored(name) for name in op.inputs]
    if len({tensor.grid.dtype for tensor in inputs}) != 1:
        raise UserError(
            f"node {op.name} ({op.kind}): operands must have one integer type, got "
            f"{[t.grid.dtype for t in inputs]}; quantize them alike"
        )
    elements = op.attrs["maps"][op.attrs.get("output_index", 0)]
    sizes = np.cumsum([0, *(int(np.prod(t.shape)) for t in inputs)])
    offsets = np.concatenate(
        [byte_offsets(place, t).reshape(-1) for place, t in zip(places, inputs, strict=True)]
    )
    which = np.searchsorted(sizes, elements, side="right") - 1
    which = np.where(elements == FILL, -1, which).astype(np.int64)
    where = np.where(elements == FILL, -1, offsets[np.maximum(elements, 0)])
    grid = inputs[0].grid
    fill = grid.zero_point
    if op.attrs["fill"]:
        # Never saturated: the reference rounds the constant onto the operand's grid without limits.
        fill += int(np.rint(np.float64(op.attrs["fill"]) / np.float64(grid.scale)))
        if not grid.lo <= fill <= grid.hi:
            raise UserError(
                f"node {op.name} ({op.kind}): its constant must lie on the operand's grid, got "
                f"{op.attrs['fill']}; quantize the operand with a wider range"
            )
    size = places[0].element_bytes
    if (elements == FILL).any() and len(set((fill % 256**size).to_bytes(size, "little"))) > 1:
        raise UserError(
            f"node {op.name} ({op.kind}): what pads must have equal bytes in {grid.dtype}, got "
            f"{fill}; quantize the operand to 8 bits or with zero point 0"
        )
    finish = None
    mult = np.zeros(len(inputs), np.int32)
    if any(t.grid != out.grid for t in inputs) or clamped(op):
        check_signed(op, out.grid)
        factors = [float(requantization_scale([t.grid.scale], out.grid.scale)) for t in inputs]
        mult, shift = quantize_multipliers(factors)
        lo, hi = bounds(op, out.grid)
        finish = Finish(shift, out.grid.zero_point, lo, hi, dtype_of(inputs[0]), dtype_of(out))
    sources = [
        Source(place, t.grid.zero_point, int(m))
        for place, t, m in zip(places, inputs, mult, strict=True)
    ]
    emit_move(low, sources, which, where, out, low.stored(op.outputs[0]), fill, finish)


def reference(op: Op, inputs: Sequence[Array]) -> Sequence[Array]:
    """Takes the elements that the map names."""
    elements = op.attrs["maps"][op.attrs.get("output_index", 0)]
    flat = np.concatenate([x.reshape(-1) for x in inputs])
    return [np.where(elements == FILL, op.attrs["fill"], flat[np.maximum(elements, 0)])]
