"""Softmaxes whose 8-bit results only products read: those results are weights of their row.

docs/nonlinear.md, "Softmax in front of a product". The rule is part of what the graph means: it asks
neither for the machine nor for options.
"""

from __future__ import annotations

from jacquard.compiler.codelets.base import clamped
from jacquard.compiler.graph.ir import Graph, Op


def row_weights(graph: Graph, softmax: Op) -> bool:
    """Whether the result of an op is stored as weights: a Softmax's, uint8 of zero point 0, that
    nothing reads but products with an activation on the right and no bias, one at least."""
    if softmax.kind != "Softmax" or clamped(softmax):
        return False
    name = softmax.outputs[0]
    grid = graph.tensors[name].grid
    if (grid.dtype, grid.zero_point) != ("uint8", 0) or name in graph.outputs.values():
        return False
    readers = [op for op in _live(graph) if name in op.inputs]
    return bool(readers) and all(_weighted(op, name) for op in readers)


def _weighted(op: Op, name: str) -> bool:
    """A product of these rows with an activation."""
    if op.kind != "MatMul" or {"weights", "bias"} & op.attrs.keys():
        return False
    return op.inputs[0] == name and name not in op.inputs[1:]


def _live(graph: Graph) -> list[Op]:
    """The ops that an output depends on: what nothing reads decides nothing."""
    needed = set(graph.outputs.values())
    found = []
    for op in reversed(graph.ops):
        if needed.intersection(op.outputs):
            needed.update(op.inputs)
            found.append(op)
    return found
