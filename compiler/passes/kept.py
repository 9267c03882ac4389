"""Which results stay in IBUF for the products that read them.

Decided before anything is emitted, since the plan of DRAM leaves out what nobody stores. A result
is kept where there is room for it until its last reader, beside what else is kept and what the
layers between load; the first come first. So it saves loads and is not in the way of others.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping

from jacquard.compiler.codelets.base import NARROW
from jacquard.compiler.codelets.registry import codelets
from jacquard.compiler.graph.ir import Graph, Op
from jacquard.compiler.overrides import LayerOverride
from jacquard.compiler.passes.readings import readings
from jacquard.compiler.tile.attention import unit_rows
from jacquard.compiler.tile.kept import Keep, form
from jacquard.compiler.tile.lowering import Reading
from jacquard.proto.lib.arch import Arch

PRODUCTS = ("Conv", "Gemm", "MatMul")


def kept(graph: Graph, arch: Arch, overrides: Mapping[str, LayerOverride]) -> dict[str, Keep]:
    """By the result's name. None that the user wants in DRAM."""
    dram = {name for name, override in overrides.items() if override.placement == "dram"}
    consumers, given = graph.consumers(), set(graph.outputs.values())
    late = readings(graph, arch)  # products that may run into later layers, and read until then
    found: dict[str, Keep] = {}
    taken = [0] * len(graph.ops)  # IBUF rows of what is kept while an op's instructions are emitted
    for index, op in enumerate(graph.ops):
        for position, name in enumerate(op.outputs):
            readers = [i for i in consumers[name] if _reads(graph.ops[i], name)]
            if not readers or dram & {op.name, *op.nodes} or not _writes(op, graph, name):
                continue
            margin = max(max(graph.ops[i].attrs["window"].pads) for i in readers)
            if margin and op.kind not in PRODUCTS:
                continue
            rows = form(graph.tensors[name], margin, arch).rows
            last = max(i + late.get(graph.ops[i].outputs[0], Reading()).behind for i in readers)
            span = range(index, min(last + 1, len(graph.ops)))
            if any(taken[i] + rows + _needs(graph, arch, i, {*found, name}) > arch.ibuf_rows
                   for i in span):
                continue
            for i in span:
                taken[i] += rows
            # A layer's first result is stored in any case: it shows where two runs differ.
            stored = position == 0 or name in given or len(readers) < len(consumers[name])
            found[name] = Keep(margin, len(readers), stored)
    return found


def _writes(op: Op, graph: Graph, name: str) -> bool:
    """Whether the op's emission can put this result into IBUF."""
    if graph.tensors[name].grid.dtype not in NARROW:
        return False
    if op.kind in PRODUCTS:
        return "weights" in op.attrs and "pool_window" not in op.attrs
    return op.kind == "Attention" or codelets()[op.kind].streams is not None


def _reads(op: Op, name: str) -> bool:
    """Whether the op is a product that can read it there."""
    product = op.kind in PRODUCTS and "weights" in op.attrs and "window_view" not in op.attrs
    return product and op.inputs[0] == name


def _needs(graph: Graph, arch: Arch, index: int, found: Collection[str]) -> int:
    """IBUF rows that an op is to find free: for all that it loads, and to begin with that before the
    op in front has ended; most of IBUF where it loads more."""
    op = graph.ops[index]
    if op.kind in PRODUCTS and "weights" in op.attrs:
        if op.inputs[0] in found and _reads(op, op.inputs[0]):
            return 0
        view, window = graph.tensors[op.inputs[0]].view, op.attrs["window"]
        top, left, bottom, right = window.pads
        rows = (view.height + top + bottom) * (view.width + left + right)
        if window.kernel[0] == 1:
            rows //= window.strides[0]  # others are not loaded
        rows *= -(-view.channels // arch.rows)
        return rows * 5 // 4 if rows <= arch.ibuf_rows else arch.ibuf_rows * 2 // 3
    if op.kind == "Attention":
        depth, keys = op.attrs["depth"] // arch.rows, graph.tensors[op.inputs[1]].view.positions
        mask = graph.tensors[op.inputs[3]].view.positions if len(op.inputs) > 3 else 0
        rows = unit_rows(arch, graph.tensors[op.inputs[0]].view.positions, keys, depth, mask)
        return 2 * rows * (depth + -(-keys // arch.lanes))
    return arch.ibuf_rows // 2 if op.kind == "MatMul" else 0
