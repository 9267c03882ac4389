"""Which products may leave rows or tiles of their results for when they are needed.

Decided once: the plan of DRAM keeps a product's operands as long as its emission may run.
"""

from __future__ import annotations

from jacquard.compiler.codelets.registry import codelets
from jacquard.compiler.graph.ir import Graph, Op
from jacquard.compiler.passes.storage import same_bytes
from jacquard.compiler.tile.lowering import Reading
from jacquard.compiler.tile.plan import BEHIND_PRODUCT, TILE_CYCLES, splits
from jacquard.proto.lib.arch import Arch

PRODUCTS = ("Gemm", "MatMul")


def readings(graph: Graph, arch: Arch) -> dict[str, Reading]:
    """By the product's result; none where it is wanted whole."""
    rows, tiles = _row_cycles(graph, arch), _by_tiles(graph, arch)
    return {
        name: Reading(rows.get(name, 0.0), name in tiles,
                      max(BEHIND_PRODUCT if name in rows else 0, tiles.get(name, 0)))
        for name in {**rows, **tiles}
    }


def _row_cycles(graph: Graph, arch: Arch) -> dict[str, float]:
    """Results that an op reads row after row -> its cycles for a row."""
    found = {}
    made = {name for op in graph.ops if op.kind in PRODUCTS for name in op.outputs}
    for op in graph.ops:
        streams = codelets()[op.kind].streams
        x = graph.tensors[op.inputs[0]]
        if streams is not None and x.name in made and splits(x.view.positions, arch):
            found[x.name] = streams(op, -(-x.view.channels // arch.rows))
    return found


def _by_tiles(graph: Graph, arch: Arch) -> dict[str, int]:
    """Results of the products right in front of an attention that it reads head by head -> layers
    from the one to the other."""
    found: dict[str, int] = {}
    made: list[Op] = []  # the products since the last other op
    for op in graph.ops:
        if same_bytes(op, graph):
            continue
        if op.kind == "Attention":
            for behind, product in enumerate(reversed(made), 1):
                name, x = product.outputs[0], graph.tensors[product.inputs[0]].view
                if name not in op.inputs[:3]:
                    break
                tile = -(-x.channels // arch.rows) * x.positions
                if splits(x.positions, arch) and tile >= TILE_CYCLES:
                    found[name] = behind
        made = [*made, op] if op.kind in PRODUCTS else []
    return found
