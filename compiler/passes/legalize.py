"""Rewrites what the machine's view of tensors does not fit into what it does."""

from __future__ import annotations

import dataclasses
import math

import numpy as np

from jacquard.compiler.graph.ir import Graph, Op, QTensor
from jacquard.compiler.main import CompileOptions
from jacquard.proto.lib.arch import Arch


def matrices(graph: Graph, options: CompileOptions, arch: Arch) -> Graph:
    """Four-dimensional operands of MatMul become three-dimensional, with Reshapes around.

    Four dimensions are seen as an image, channels second; a product needs its features last.
    """
    del options, arch
    tensors = dict(graph.tensors)
    ops: list[Op] = []

    def reshape(op: Op, source: str, target: QTensor, index: int) -> Op:
        elements = np.arange(math.prod(target.shape), dtype=np.int64).reshape(target.shape)
        return Op(f"{op.name}.reshape{index}", "Reshape", (source,), (target.name,),
                  {"maps": (elements,), "fill": 0.0}, nodes=op.nodes)

    for op in graph.ops:
        if op.kind != "MatMul" or all(len(tensors[n].shape) < 4 for n in (*op.inputs, *op.outputs)):
            ops.append(op)
            continue
        inputs = []
        for index, name in enumerate(op.inputs):
            tensor = tensors[name]
            if len(tensor.shape) == 4:
                flat = dataclasses.replace(tensor, name=f"{op.name}.operand{index}",
                                           shape=_flat(tensor.shape))
                tensors[flat.name] = flat
                ops.append(reshape(op, name, flat, index))
                name = flat.name
            inputs.append(name)
        result = tensors[op.outputs[0]]
        flat = dataclasses.replace(result, name=f"{op.name}.result", shape=_flat(result.shape))
        tensors[flat.name] = flat
        ops.append(dataclasses.replace(op, inputs=tuple(inputs), outputs=(flat.name,)))
        ops.append(reshape(op, flat.name, result, 2))
    return dataclasses.replace(graph, tensors=tensors, ops=tuple(ops))


def _flat(shape: tuple[int, ...]) -> tuple[int, ...]:
    return (math.prod(shape[:-2]), *shape[-2:])
