"""Decides for every tensor of four dimensions where its channels are: second (an image) or last.

Codelets say what they want (`Codelet.view`). Tensors that elementwise operators join are seen alike; where
a group is wanted both ways it stays an image, and the operators that want rows get copies, moved byte
by byte.
"""

from __future__ import annotations

import dataclasses
import math

import numpy as np

from jacquard.compiler.codelets.registry import codelets
from jacquard.compiler.graph.ir import Graph, Op, QTensor
from jacquard.compiler.main import CompileOptions
from jacquard.proto.lib.arch import Arch


def views(graph: Graph, options: CompileOptions, arch: Arch) -> Graph:
    """Sets QTensor.features_last, and inserts moves where both views are wanted."""
    del options, arch
    last = _features_last(graph)
    tensors = {
        name: dataclasses.replace(tensor, features_last=True) if name in last else tensor
        for name, tensor in graph.tensors.items()
    }
    ops: list[Op] = []
    for op in graph.ops:
        if codelets()[op.kind].view != "last":
            ops.append(op)
            continue
        before, after, inputs, outputs = [], [], [], []
        for name in op.inputs:
            tensor = tensors[name]
            if tensor.image and tensor.data is None:
                rows = tensors[f"{name}.rows"] = _rows(tensor)
                if not any(rows.name in o.outputs for o in ops):
                    before.append(_copy(op, len(before), tensor, rows))
                name = rows.name
            inputs.append(name)
        for name in op.outputs:
            tensor = tensors[name]
            if tensor.image:
                rows = tensors[f"{name}.rows"] = _rows(tensor)
                after.append(_copy(op, len(op.inputs) + len(after), rows, tensor))
                name = rows.name
            outputs.append(name)
        ops += before
        ops.append(dataclasses.replace(op, inputs=tuple(inputs), outputs=tuple(outputs)))
        ops += after
    return dataclasses.replace(graph, tensors=tensors, ops=tuple(ops))


def _rows(tensor: QTensor) -> QTensor:
    return dataclasses.replace(tensor, name=f"{tensor.name}.rows", features_last=True)


def _copy(op: Op, index: int, source: QTensor, target: QTensor) -> Op:
    """The same elements under the other view."""
    elements = np.arange(math.prod(target.shape), dtype=np.int64).reshape(target.shape)
    return Op(f"{op.name}.copy{index}", "Reshape", (source.name,), (target.name,),
              {"maps": (elements,), "fill": 0.0}, nodes=op.nodes)


def _features_last(graph: Graph) -> set[str]:
    """Names of the tensors of four dimensions that are seen as rows."""
    parent = {name: name for name, tensor in graph.tensors.items() if len(tensor.shape) == 4}

    def root(name: str) -> str:
        while parent[name] != name:
            parent[name] = parent[parent[name]]
            name = parent[name]
        return name

    for op in graph.ops:
        if codelets()[op.kind].view == "same":
            joined = [root(name) for name in (*op.inputs, *op.outputs) if name in parent]
            for name in joined[1:]:
                parent[name] = joined[0]
    wanted: dict[str, set[str]] = {root(name): set() for name in parent}
    for op in graph.ops:
        view = codelets()[op.kind].view
        if view in ("image", "last"):
            for name in (*op.inputs, *op.outputs):
                if name in parent:
                    wanted[root(name)].add(view)
    # What only moves touch is seen as its neighbours are, so that some of the moves move nothing.
    # Again until nothing changes: a key that is an output hangs on one that a product reads.
    moves = [op for op in graph.ops if codelets()[op.kind].view == "move"]
    changed = True
    while changed:
        changed = False
        for op in moves:
            names = [name for name in (*op.inputs, *op.outputs) if name in parent]
            if not any(wanted[root(name)] == {"last"} for name in names):
                continue
            for name in names:
                if not wanted[root(name)]:
                    wanted[root(name)] = {"last"}
                    changed = True
    return {name for name in parent if wanted[root(name)] == {"last"}}
