"""From the graph IR to the tile IR: every op's codelet emits its instructions."""

from __future__ import annotations

import contextlib
from collections.abc import Collection, Iterator, Mapping

from jacquard.compiler.codelets.registry import codelets
from jacquard.compiler.graph.ir import Graph
from jacquard.compiler.overrides import TILING, LayerOverride
from jacquard.compiler.passes.readings import readings
from jacquard.compiler.passes.storage import Storage, same_bytes, store
from jacquard.compiler.tile.ir import TileProgram
from jacquard.compiler.tile.kept import Keep
from jacquard.compiler.tile.lowering import Lowering, Waiting
from jacquard.compiler.tile.memory import NoRoom
from jacquard.proto.lib.arch import Arch
from jacquard.proto.lib.errors import UserError, raise_if_any


def lower(
    graph: Graph, arch: Arch, overrides: Mapping[str, LayerOverride], array_rows: int,
    keeps: Mapping[str, Keep],
) -> TileProgram:
    """The network's instructions, one after another. UserError: every layer that does not fit,
    and every override of a tiling that there is not.

    array_rows: of the array that there is, of which bounds are; `arch` may have a deeper one.
    keeps: results that stay in IBUF (passes/kept.py), where they find place.
    """
    read = readings(graph, arch)

    def lowered(keeps: Mapping[str, Keep], waiting: Waiting) -> TileProgram:
        storage = store(graph, arch, read, keeps)
        places, given = dict(storage.places), dict(overrides)
        low = Lowering(arch, graph, places, given, array_rows, read, keeps, waiting)
        return _lowered(graph, low, storage)

    if keeps:  # beside which a tiling that is asked for may not fit, or what is left for later
        with contextlib.suppress(NoRoom, UserError):
            return lowered(keeps, Waiting.PRODUCTS)
    for waiting in (Waiting.PRODUCTS, Waiting.NORMALIZATIONS):
        with contextlib.suppress(NoRoom):
            return lowered({}, waiting)
    return lowered({}, Waiting.NOTHING)


def _lowered(graph: Graph, low: Lowering, storage: Storage) -> TileProgram:
    """NoRoom where what waits (low.waiting) keeps another layer from its place."""
    problems: list[str] = []
    refused: set[str] = set()
    for op in graph.ops:
        if same_bytes(op, graph):
            low.alias(op.inputs[0], op.outputs[0])
            continue
        lowering = codelets()[op.kind].lower
        assert lowering is not None, op.kind
        try:
            lowering(op, low)
            low.finish()
        except UserError as error:
            problems += error.lines
            refused.add(op.name)
        except NoRoom as error:
            if low.waiting is not Waiting.NOTHING:
                raise
            problems.append(
                f"layer {op.name}: {error.memory}, of {error.size}, must have {error.wanted} free "
                "beside what is in use; use a larger configuration"
            )
            break  # the memories' state is lost
    else:
        for name in low.streams():
            low.need(name)
        problems += _unused(low.overrides, low.tiled.keys() | refused, graph)
    raise_if_any(problems)
    steps, weights, parts = low.finished()
    return TileProgram(
        steps, tuple(low.layers), low.constants(), storage.scratch_bytes, storage.tensors,
        storage.plan, storage.cache_bytes, storage.arguments, weights, parts,
        {name: tiled for name, tiled in low.tiled.items() if tiled is not None},
    )


def _unused(
    overrides: Mapping[str, LayerOverride], tiled: Collection[str], graph: Graph
) -> Iterator[str]:
    """A line per layer whose tile sizes nothing asked for. fuse=false holds in any case."""
    names = {op.name for op in graph.ops}
    for name, override in sorted(overrides.items()):
        fields = override.given(TILING)
        if name in tiled or not fields:
            continue
        owner = next((op.name for op in graph.ops if name in op.nodes), None)
        got, way = "a layer that has no such tiling", f"leave {', '.join(fields)} out"
        if name not in names and owner is None:
            got = "a layer that is left out"
        elif name not in names:
            got, way = f"a layer that is fused to {owner}", f"override {owner}"
        yield (
            f"override of layer {name}: {', '.join(fields)} must be of a layer on MATRIX, got "
            f"{got}; {way}"
        )
