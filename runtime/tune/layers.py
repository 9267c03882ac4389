"""Layers that can be tiled, those alike together, and what there is to choose from for each.

Two layers are alike where they ask for the same tiling problem and stand between the same problems:
what is best for one is for the other.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

from jacquard.compiler.overrides import TILING, LayerOverride
from jacquard.compiler.passes.narrow import square
from jacquard.compiler.tile.ir import TileProgram
from jacquard.compiler.tile.operand import ActivationOperand, PackedOperand
from jacquard.compiler.tile.plan import ranked
from jacquard.compiler.tile.tiling import Plan, Shape, Tiled
from jacquard.runtime.tune.network import Network


@dataclasses.dataclass(frozen=True)
class Group:
    """Layers alike, in the order of the network.

    Attributes:
      tiled: the problem, and the tiling that the compiler chooses.
      choices: other tilings, by what the cost model says, cheapest first.
    """

    layers: tuple[str, ...]
    tiled: Tiled
    choices: tuple[LayerOverride, ...]

    @property
    def name(self) -> str:
        """Of the first layer, which stands for all."""
        return self.layers[0]


def groups(network: Network, program: TileProgram, beam: int) -> tuple[Group, ...]:
    """All of a network's, each with at most `beam` choices; not those that the user fixed.

    program: as the compiler makes it without other overrides than the user's.
    """
    tilings = program.tilings
    names = [op.name for op in network.graph.ops]
    problems = [
        tilings[op.name].problem if op.name in tilings else op.kind for op in network.graph.ops
    ]
    alike: dict[object, list[str]] = {}
    for index, name in enumerate(names):
        fixed = network.fixed.get(name, LayerOverride())
        if name in tilings and not fixed.given(TILING):
            before = problems[index - 1] if index else None
            behind = problems[index + 1] if index + 1 < len(names) else None
            alike.setdefault((problems[index], before, behind, fixed), []).append(name)
    return tuple(
        Group(tuple(layers), tilings[layers[0]], _choices(network, layers[0], tilings, beam))
        for layers in alike.values()
    )


def _choices(
    network: Network, name: str, tilings: Mapping[str, Tiled], beam: int
) -> tuple[LayerOverride, ...]:
    """The cheapest of each order of loops first, so that every beam holds all that fit."""
    tiled, fixed = tilings[name], network.fixed.get(name, LayerOverride())
    arch = square(network.arch)
    found = [plan for problem in _forms(tiled) for plan in ranked(arch, name, *problem)]
    found.sort(key=lambda plan: plan.cycles)
    orders: dict[tuple[bool, bool], Plan] = {}
    for plan in found:
        orders.setdefault((plan.keep_inputs, plan.keep_weights), plan)
    choices = dict.fromkeys(sizes(plan, fixed) for plan in (*orders.values(), *found))
    if not tiled.plan.by_tiles:  # which no sizes say
        choices.pop(sizes(tiled.plan, fixed), None)
    return tuple(choices)[:beam]


def _forms(tiled: Tiled) -> list[tuple[ActivationOperand, Shape]]:
    """The problem; of a packed image also the other packing, which its channel tiles tell apart."""
    forms = [tiled.problem]
    if isinstance(tiled.activation, PackedOperand):
        other = dataclasses.replace(tiled.activation, whole=not tiled.activation.whole)
        spans = ((0, other.tiles),) * tiled.shape.output_tiles
        if other.tiles != tiled.activation.tiles:
            forms.append((other, dataclasses.replace(tiled.shape, spans=spans)))
    return forms


def sizes(plan: Plan, fixed: LayerOverride = LayerOverride()) -> LayerOverride:
    """What fixes a tiling; the rest of what the user fixed stays."""
    return dataclasses.replace(
        fixed,
        tile_height=plan.height,
        tile_width=plan.width,
        channel_tiles=plan.channel_tiles,
        output_tiles=plan.output_tiles,
    )
