"""Softmaxes whose 8-bit results only products read: those results are weights of their row.

docs/nonlinear.md, "Softmax in front of a product". The rule is part of what the graph means: it
asks neither for the machine nor for options. Where attention is not fused, the softmax gets a
second result: what the sums of each row are multiplied by.
"""

from __future__ import annotations

import dataclasses

from jacquard.compiler.codelets._linear import entry_steps
from jacquard.compiler.codelets.attention._softmax import product_factors
from jacquard.compiler.codelets.base import clamped
from jacquard.compiler.graph.ir import Graph, Grid, Op
from jacquard.compiler.main import CompileOptions
from jacquard.proto.lib.arch import Arch


def factor_rows(graph: Graph, options: CompileOptions, arch: Arch) -> Graph:
    """Softmaxes of the rule give the factors of their rows too, one tensor for each product.

    The product multiplies by them instead of by one number per column: attribute `row_shift`.
    """
    del options, arch
    tensors, ops = dict(graph.tensors), list(graph.ops)
    for index, op in enumerate(graph.ops):
        if not row_weights(graph, op):
            continue
        weights = graph.tensors[op.outputs[0]]
        made: list[str] = []
        factors: list[tuple[int, ...]] = []
        for reader in _readers(graph, weights.name):
            product = ops[reader]
            value, y = (graph.tensors[n] for n in (product.inputs[1], product.outputs[0]))
            mults, shift = product_factors(product, entry_steps(value), y)
            rows = dataclasses.replace(
                weights, name=f"{weights.name}.factors{len(made)}",
                shape=(*weights.shape[:-1], 1), grid=Grid(1.0, 0, "int32"),
            )
            tensors[rows.name] = rows
            made.append(rows.name)
            factors.append(mults)
            ops[reader] = dataclasses.replace(
                product, inputs=(*product.inputs, rows.name),
                attrs={**product.attrs, "row_shift": shift},
            )
        ops[index] = dataclasses.replace(
            op, outputs=(*op.outputs, *made), attrs={**op.attrs, "row_factors": tuple(factors)}
        )
    return dataclasses.replace(graph, tensors=tensors, ops=tuple(ops))


def row_weights(graph: Graph, softmax: Op) -> bool:
    """Whether the result of an op is stored as weights: a Softmax's, uint8 of zero point 0, that
    nothing reads but products with an activation on the right and no bias, one at least."""
    if softmax.kind != "Softmax" or clamped(softmax):
        return False
    name = softmax.outputs[0]
    grid = graph.tensors[name].grid
    if (grid.dtype, grid.zero_point) != ("uint8", 0) or name in graph.outputs.values():
        return False
    readers = _readers(graph, name)
    return bool(readers) and all(_weighted(graph.ops[index], name) for index in readers)


def _weighted(op: Op, name: str) -> bool:
    """A product of these rows with an activation."""
    if op.kind != "MatMul" or {"weights", "bias"} & op.attrs.keys():
        return False
    return op.inputs[0] == name and name not in op.inputs[1:]


def _readers(graph: Graph, name: str) -> list[int]:
    """The ops that read a tensor and that an output depends on: dead ones decide nothing."""
    needed = set(graph.outputs.values())
    found = []
    for index in reversed(range(len(graph.ops))):
        op = graph.ops[index]
        if needed.intersection(op.outputs):
            needed.update(op.inputs)
            if name in op.inputs:
                found.append(index)
    return found[::-1]
