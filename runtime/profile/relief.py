"""What would make a program faster: the cycle model's word, machine by machine.

In: a profile and its program. Out: the profile with, for each better machine, cycles in all and per
layer. A machine whose memories or array differ runs another program, which is compiled for it; the
others run this very program.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Mapping, Sequence

from jacquard.proto import arch_pb2
from jacquard.proto import program_pb2 as pb
from jacquard.proto.lib import arch_rules
from jacquard.proto.lib.arch import Arch, from_message
from jacquard.proto.lib.errors import UserError, raise_if_any
from jacquard.proto.lib.isa import load_isa
from jacquard.runtime.profile.measure import Profile, Relief
from jacquard.sim.perf.estimate import Estimate, estimate
from jacquard.sim.perf.machine import CycleModel

Compile = Callable[[Arch], pb.Program]
"""The program of the same model for another machine. Raises UserError if there is none."""


_BUFFERS = ("ibuf_bytes", "wbuf_bytes", "obuf_bytes", "vmem_bytes", "param_bytes")


@dataclasses.dataclass(frozen=True)
class Machine:
    """A better machine: `changes` of the cycle model alone, or `made`, for which one compiles."""

    name: str
    what: str
    changes: Mapping[str, int] = dataclasses.field(default_factory=dict)
    made: arch_pb2.Arch | None = None


def machines(message: arch_pb2.Arch) -> list[Machine]:
    """What is tried in place of a configuration, the nearest first."""
    arch = from_message(message)
    wider = 2 * arch.bytes_per_cycle
    larger = arch_pb2.Arch()
    larger.CopyFrom(message)
    for field in _BUFFERS:
        setattr(larger.memory, field, 2 * getattr(larger.memory, field))
    array = arch_pb2.Arch()
    array.CopyFrom(larger)
    array.matrix.rows *= 2
    array.matrix.cols *= 2
    array.vector.lanes *= 2
    both = arch_pb2.Arch()
    both.CopyFrom(array)
    both.dram.bytes_per_cycle = wider
    for dma in (both.load, both.store):
        dma.buffer_bytes *= 2
    both.frontend.fetch_buffer_bytes *= 2
    return [
        Machine("DRAM x 2", f"DRAM moves {wider} bytes a cycle", {"bytes_per_cycle": wider}),
        Machine("no latency", "DRAM answers in the next cycle", {"latency_cycles": 1}),
        Machine("VECTOR x 2", "VECTOR does two iterations a cycle", {"vector_rate": 2}),
        Machine(
            "queues x 4",
            f"queues of {4 * arch.queue_depth} instructions, fetch buffer and token counters to "
            "match",
            {
                "queue_depth": 4 * arch.queue_depth,
                "fetch_buffer_bytes": 4 * arch.fetch_buffer_bytes,
                "token_bits": arch.token_bits + 2,
            },
        ),
        Machine(
            "buffers x 2",
            "every memory on the chip twice as deep but TABLE, compiled for it",
            made=larger,
        ),
        Machine(
            "array x 2",
            f"array of {array.matrix.rows} x {array.matrix.cols}, {array.vector.lanes} lanes, "
            "memories to match, compiled for it",
            made=array,
        ),
        Machine("array, DRAM x 2", f"that array, and DRAM moves {wider} bytes a cycle", made=both),
    ]


def relieved(
    profile: Profile,
    program: pb.Program,
    compile_for: Compile,
    tried: Sequence[Machine],
) -> Profile:
    """The profile with reliefs: what the machines of `tried` take. One that cannot be says why."""
    model = CycleModel(program.code)
    base = estimate(program, profile.arch, model=model)
    reliefs, per_layer = [], [dict[str, int]() for _ in profile.layers]
    for machine in tried:
        try:
            found, names = _estimate(machine, program, profile.arch, model, compile_for)
        except UserError as error:
            reliefs.append(Relief(machine.name, machine.what, 0, str(error).splitlines()[0]))
            continue
        reliefs.append(Relief(machine.name, machine.what, found.cycles))
        cycles = dict(zip(names, found.layer_cycles, strict=True))
        for layer, relief in zip(profile.layers, per_layer, strict=True):
            if layer.name in cycles:  # fused into another for the other machine
                relief[machine.name] = cycles[layer.name]
    layers = tuple(
        dataclasses.replace(layer, relief=relief)
        for layer, relief in zip(profile.layers, per_layer, strict=True)
    )
    return dataclasses.replace(
        profile, layers=layers, base_cycles=base.cycles, reliefs=tuple(reliefs)
    )


def _estimate(
    machine: Machine, program: pb.Program, arch: Arch, model: CycleModel, compile_for: Compile
) -> tuple[Estimate, Iterator[str]]:
    """Cycles, and the layers' names in their order."""
    if machine.made is None:
        found = estimate(program, arch, model=model, **machine.changes)
    else:
        broken = arch_rules.check(machine.made, machine.made.name, load_isa())
        raise_if_any(f"no such machine: {line}" for line in broken)
        other = from_message(machine.made)
        program = compile_for(other)
        found = estimate(program, other)
    return found, (layer.name for layer in program.layers)
