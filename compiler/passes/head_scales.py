"""Keys and values with a scale per head: which operators may read and write them.

A scale belongs to equal parts of one dimension. Movements carry it along with its elements; a product of
two activations reads it on the right, a scale for each entry of its batch; a product with constant
weights, or an Add of two tensors of one scale, gives it, a scale for each channel.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from jacquard.compiler.codelets import base
from jacquard.compiler.graph.ir import Grid, QTensor
from jacquard.proto.lib.errors import UserError


def parts(scales: npt.NDArray[np.float32]) -> tuple[float, ...]:
    """The scales of the fewest equal parts of a dimension that has these, an element each."""
    line = scales.reshape(-1)
    for count in range(1, line.size):
        if line.size % count == 0:
            rows = line.reshape(count, -1)
            if (rows == rows[:, :1]).all():
                return tuple(map(float, rows[:, 0]))
    return tuple(map(float, line))


def check(
    node: base.Node, parsed: base.Parsed, grid: Grid, axis: int | None, index: int, clamped: bool
) -> int:
    """The dimension of the result's scales.

    Args:
      axis: as the model says it; None where nothing has quantized the result.
      index: which of the node's results.

    Raises:
      UserError: an operator that knows no scales per head has to read or give them.
    """
    scaled = [tensor for tensor in parsed.inputs if tensor.grid.scales]
    if not scaled and not grid.scales:
        return 0
    if "maps" in parsed.attrs:
        return _moved(node, parsed, grid, axis, index, clamped)
    for position, tensor in enumerate(parsed.inputs):
        batch = tensor.axis < len(tensor.shape) - 2
        if tensor.grid.scales and not (node.op == "MatMul" and position == 1 and batch):
            raise _refused(node, tensor.name, tensor.grid, tensor.axis)
    if grid.scales:
        last = axis == len(parsed.shapes[index]) - 1
        if clamped or not last or not _gives(node, parsed):
            raise _refused(node, "its result", grid, axis or 0)
    return axis or 0


def _gives(node: base.Node, parsed: base.Parsed) -> bool:
    """Whether the operator's result can have a scale for each channel."""
    if node.op == "Add":  # of four dimensions the channels may be the second
        same = len({tensor.grid.scale for tensor in parsed.inputs}) == 1
        stored = len(parsed.inputs) == 2 and all(t.data is None for t in parsed.inputs)
        return stored and same and len(parsed.shapes[0]) < 4
    return node.op in ("MatMul", "Gemm") and "weights" in parsed.attrs


def _refused(node: base.Node, what: str, grid: Grid, axis: int) -> UserError:
    return UserError(
        f"{node.place}: scales of one dimension must be those of heads of keys or values (right "
        f"operands of products of two activations), got {what} with {len(grid.scales)} scales along "
        f"dimension {axis}; quantize it per tensor"
    )


def _moved(
    node: base.Node, parsed: base.Parsed, grid: Grid, axis: int | None, index: int, clamped: bool
) -> int:
    """The same for what moves elements: each takes its scale along."""
    elements = parsed.attrs["maps"][index]
    sources = np.concatenate([
        np.broadcast_to(tensor.steps, tensor.shape).reshape(-1) for tensor in parsed.inputs
    ])
    steps = sources[np.maximum(elements, 0)]
    for along in range(elements.ndim) if axis is None else (axis,):
        result = QTensor("", elements.shape, grid, axis=along)
        whole = elements.shape[along] % max(len(grid.scales), 1) == 0
        if whole and not clamped and (elements >= 0).all() and (steps == result.steps).all():
            if all(tensor.grid == grid for tensor in parsed.inputs):
                return along
    raise UserError(
        f"{node.place}: a scale per head must go along with its elements, got "
        f"{max(len(t.grid.scales) for t in parsed.inputs) or 1} scales in front and "
        f"{len(grid.scales) or 1} behind; quantize both alike, or per tensor"
    )
