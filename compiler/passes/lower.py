"""From the graph IR to the tile IR: every op's codelet emits its instructions."""

from __future__ import annotations

from collections.abc import Mapping

from jacquard.compiler.codelets.registry import codelets
from jacquard.compiler.graph.ir import Graph
from jacquard.compiler.passes.storage import same_bytes, store
from jacquard.compiler.tile.ir import TileProgram
from jacquard.compiler.tile.lowering import Lowering
from jacquard.compiler.tile.memory import NoRoom
from jacquard.proto.lib.arch import Arch
from jacquard.proto.lib.errors import UserError, raise_if_any


def lower(graph: Graph, arch: Arch, overrides: Mapping[str, object]) -> TileProgram:
    """The network's instructions, one after another. UserError: every layer that does not fit."""
    storage = store(graph, arch)
    low = Lowering(arch, graph, dict(storage.places), dict(overrides))
    problems: list[str] = []
    for op in graph.ops:
        if same_bytes(op, graph):
            continue
        lowering = codelets()[op.kind].lower
        assert lowering is not None, op.kind
        try:
            lowering(op, low)
        except UserError as error:
            problems += error.lines
        except NoRoom as error:
            problems.append(
                f"layer {op.name}: {error.memory} must hold {error.wanted} at once, has "
                f"{error.size}; use a larger configuration"
            )
            break  # the memories' state is lost
    raise_if_any(problems)
    return TileProgram(
        tuple(low.steps), tuple(low.layers), low.constants(), storage.scratch_bytes,
        storage.tensors, storage.plan,
    )
