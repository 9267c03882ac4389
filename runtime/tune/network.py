"""A network that is compiled again and again, with other tilings, and timed by the cycle model.

What does not depend on tilings, the model's import and the passes over its graph, is done once;
what does not change times, the checker and the digests, is left out.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

import onnx

from jacquard.compiler.graph.ir import Graph
from jacquard.compiler.main import CompileOptions, no_collection
from jacquard.compiler.overrides import LayerOverride
from jacquard.compiler.passes import pipeline
from jacquard.compiler.tile.ir import TileProgram
from jacquard.proto import npu_isa as isa
from jacquard.proto.lib.arch import Arch
from jacquard.proto.lib.errors import UserError
from jacquard.sim.perf.machine import CycleModel

Overrides = Mapping[str, LayerOverride]
AROUND = 2  # operators on either side of a layer that is timed by itself


@dataclasses.dataclass(frozen=True)
class Part:
    """Operators [first, end) of a network."""

    first: int
    end: int


class Network:
    """A quantized model on a machine."""

    def __init__(self, qdq: onnx.ModelProto, arch: Arch, options: CompileOptions) -> None:
        """UserError as of compile_model: what no tiling mends."""
        self.arch, self.fixed = arch, dict(options.overrides)
        self.graph = pipeline.operators(qdq, arch, options)
        self._ops = {op.name: index for index, op in enumerate(self.graph.ops)}

    def compiled(self, overrides: Overrides) -> TileProgram:
        """The whole network; the user's overrides hold beside these."""
        return pipeline.instructions(self.graph, self.arch, {**self.fixed, **overrides})

    def around(self, layer: str) -> Part:
        """A layer and its neighbours: loads ahead of it and what is left behind it count."""
        at = self._ops[layer]
        return Part(max(at - AROUND, 0), min(at + AROUND + 1, len(self.graph.ops)))

    def cycles(self, overrides: Overrides, part: Part | None = None) -> int | None:
        """Of the whole network, or of a part; None where the tilings do not fit."""
        graph = self.graph if part is None else cut(self.graph, part)
        names = {op.name for op in graph.ops}
        given = {n: o for n, o in {**self.fixed, **overrides}.items() if n in names or part is None}
        with no_collection():
            try:
                program = pipeline.instructions(graph, self.arch, given)
            except UserError:
                return None
            code = code_of(program)
        result = CycleModel(code).run(self.arch)
        return result.cycles if result.status == isa.Error.OK else None


def code_of(program: TileProgram) -> bytes:
    """As link encodes it."""
    return b"".join([*(step.encode() for step in program.steps), isa.End().encode()])


def cut(graph: Graph, part: Part) -> Graph:
    """Some of the operators as a network of their own; tensors lie as they do in the whole."""
    ops = graph.ops[part.first : part.end]
    made = {name for op in ops for name in op.outputs}
    states = set() if graph.state is None else set(graph.state.tensors.values())
    tensors = graph.tensors
    read = dict.fromkeys(name for op in ops for name in op.inputs)
    others = (*graph.ops[: part.first], *graph.ops[part.end :])
    inputs = {
        name: name
        for name in read
        if name not in made and name not in states and tensors[name].data is None
    }
    own = {tensor: name for name, tensor in graph.inputs.items()}  # by the names that the host has
    ends = {*(name for op in others for name in op.inputs), *graph.outputs.values()}
    # What the rest makes leaves, too, so that it is not laid out as an image for one reader.
    ends |= inputs.keys() - own.keys()
    return dataclasses.replace(
        graph,
        ops=ops,
        inputs={own.get(name, name): name for name in inputs},
        outputs={name: name for name in sorted((made | inputs.keys()) & ends - states)},
    )
