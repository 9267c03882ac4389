"""What must hold for a graph after every pass."""

from __future__ import annotations

from jacquard.compiler.graph.ir import Graph


class GraphError(AssertionError):
    """A pass broke the graph: a defect of the compiler, not of the model."""


def verify(graph: Graph, after: str) -> None:
    """Raises GraphError unless every tensor is written once, before it is read, and known."""
    written = set(graph.inputs.values())
    written |= {name for name, tensor in graph.tensors.items() if tensor.data is not None}
    for op in graph.ops:
        for name in (*op.inputs, *op.outputs):
            if name not in graph.tensors:
                raise GraphError(f"after {after}: op {op.name} names unknown tensor {name}")
        for name in op.inputs:
            if name not in written:
                raise GraphError(f"after {after}: op {op.name} reads {name} before it is written")
        for name in op.outputs:
            if name in written:
                raise GraphError(f"after {after}: op {op.name} writes {name} a second time")
            written.add(name)
    for name, tensor in graph.outputs.items():
        if tensor not in written:
            raise GraphError(f"after {after}: output {name} is never written")
