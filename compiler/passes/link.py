"""From ordered instructions to the Program that the runtime loads."""

from __future__ import annotations

import hashlib
import math

from jacquard.compiler.graph.host import HostPart
from jacquard.compiler.graph.ir import Graph
from jacquard.compiler.passes.storage import CACHE, CONSTANTS, SCRATCH, WEIGHTS
from jacquard.compiler.tile.ir import (
    CACHE_ARG, CONSTANT_ARG, SCRATCH_ARG, WEIGHT_ARG, TileProgram,
)
from jacquard.proto import npu_isa as isa
from jacquard.proto import program_pb2 as pb
from jacquard.proto.lib.arch import Arch


def link(
    graph: Graph, program: TileProgram, arch: Arch, model: str, model_sha256: bytes
) -> pb.Program:
    """Encodes the code and fills the Program, digests included."""
    code = [step.encode() for step in program.steps]
    code.append(isa.End().encode())
    message = pb.Program(
        config=arch.name, fingerprint=arch.fingerprint, model=model, code=b"".join(code),
        instruction_count=len(code), memory_plan=program.plan, model_sha256=model_sha256,
    )
    message.segments.add(name=CONSTANTS, kind=pb.Segment.CONSTANT, arg=CONSTANT_ARG,
                         size_bytes=len(program.constants), data=program.constants)
    message.segments.add(name=SCRATCH, kind=pb.Segment.SCRATCH, arg=SCRATCH_ARG,
                         size_bytes=program.scratch_bytes)
    if program.weights:
        weights = message.segments.add(name=WEIGHTS, kind=pb.Segment.WEIGHTS, arg=WEIGHT_ARG,
                                       size_bytes=len(program.weights), data=program.weights)
        for part in program.weight_parts:
            weights.parts.add(layer=part.layer, offset_bytes=part.offset, size_bytes=part.size)
    if program.cache_bytes:
        message.segments.add(name=CACHE, kind=pb.Segment.STATE, arg=CACHE_ARG,
                             size_bytes=program.cache_bytes)
    for argument in program.arguments:
        base = next(s.name for s in message.segments if s.arg == argument.base)
        message.arguments.add(name=argument.name, arg=argument.arg, segment=base,
                              step_bytes=argument.step_bytes, count=argument.count)
    states = graph.state.tensors if graph.state is not None else {}
    for bound, tensors in ((message.inputs, graph.inputs), (message.outputs, graph.outputs),
                           (message.states, states)):
        for name, tensor in tensors.items():
            entry = bound.add()
            entry.CopyFrom(program.tensors[tensor])
            entry.name = name
            if bound is message.states:  # rows of a tensor of whatever shape
                form = entry.layout
                entry.shape[:] = (1, form.height * form.width, form.channels)
                entry.axis = 2 if entry.scales else 0
    if graph.host is not None:
        _add_host(message, graph.host)
    if graph.state is not None:
        for entry in message.inputs:
            if entry.name in graph.state.masks:
                entry.position_argument = graph.state.argument
    _add_layers(message, program)
    message.sha256 = hashlib.sha256(message.SerializeToString(deterministic=True)).digest()
    return message


def _add_host(message: pb.Program, host: HostPart) -> None:
    """What the inputs mean that nothing quantizes, and the nodes that make them."""
    message.host_model = host.model
    for node in host.nodes:
        message.host_nodes.add(name=node.name, op=node.op, reason=node.reason)
    for entry in message.inputs:
        bound = host.inputs.get(entry.name)
        if bound is None:
            continue
        entry.role = pb.Tensor.INDEX if bound.role == "index" else pb.Tensor.MASK
        if bound.role == "index":
            entry.limit = bound.limit
            # The planned bytes are those of the blocked layout, which is never the smaller one.
            entry.layout.CopyFrom(pb.Layout(kind=pb.Layout.LINEAR))
            entry.size_bytes = 4 * math.prod(entry.shape)


def _add_layers(message: pb.Program, program: TileProgram) -> None:
    """In the order of their last STOREs: a layer's range ends with it, and begins where the one
    before ends."""
    count = len(program.layers)
    ends, reads, writes = [0] * count, [0] * count, [0] * count
    for index, step in enumerate(program.steps):
        i, layer = step.instruction, step.layer
        if isinstance(i, isa.Store):
            ends[layer] = index + 1
            writes[layer] += i.n0 * i.n1 * i.n2 * i.n3
        elif isinstance(i, isa.Load):
            runs = (i.n1 - i.before1 - i.after1) * i.n2 * i.n3
            reads[layer] += max(i.n0 - i.before0 - i.after0, 0) * max(runs, 0)
            reads[layer] += 4 * i.n1 * i.gather  # its indices
    order = sorted(range(count), key=ends.__getitem__)  # some run into those behind them
    if order:
        ends[order[-1]] = len(program.steps) + 1
    start = 0
    for index in order:
        info = program.layers[index]
        message.layers.add(
            name=info.name, op=info.op, nodes=info.nodes, macs=info.macs,
            first_instruction=start, end_instruction=ends[index],
            output=program.tensors[info.output], dram_read_bytes=reads[index],
            dram_write_bytes=writes[index], floor_cycles=info.floor_cycles,
        )
        start = ends[index]
