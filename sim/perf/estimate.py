"""How long a program takes, without a device: for the profiler, the explorer, a search.

>>> estimate(program, arch).cycles
>>> estimate(program, arch, bytes_per_cycle=32, latency_cycles=200).layer_cycles
"""

from __future__ import annotations

import dataclasses

import numpy as np

from jacquard.proto import arch_pb2
from jacquard.proto import program_pb2 as pb
from jacquard.proto.lib import arch_rules
from jacquard.proto.lib.arch import Arch
from jacquard.proto.lib.errors import UserError
from jacquard.proto.npu_isa import Error
from jacquard.sim.perf.machine import CycleModel
from jacquard.sim.timing.layers import layer_cycles

# What a machine may be changed in and still run a program made for the other: nothing of these is
# known to the compiler's addresses and counts.
CHANGES = (
    "bytes_per_cycle",
    "latency_cycles",
    "queue_depth",
    "token_bits",
    "fetch_buffer_bytes",
    "load",
    "store",
)


@dataclasses.dataclass(frozen=True)
class Estimate:
    """One run of a program."""

    cycles: int
    layer_cycles: tuple[int, ...]  # of each layer of the program
    counters: np.ndarray  # int64[engines, buckets]
    dram_read_bytes: int
    dram_write_bytes: int


def estimate(
    program: pb.Program,
    arch: Arch,
    *,
    model: CycleModel | None = None,
    vector_rate: int = 1,
    **changes: object,
) -> Estimate:
    """Runs the program's code on the cycle model, all segments on pages of their own.

    Args:
      model: of the program's code, if it is to be run several times.
      vector_rate: iterations of VECTOR a cycle, where the machine does one.
      changes: fields of Arch, among CHANGES, that are to be others. With a wider or farther DRAM
        the buffers of LOAD, STORE and fetch grow as they must, unless they are given.

    Raises UserError for another change, for a machine that cannot be and for a program that stops.
    """
    changed = changed_arch(arch, changes)
    result = (model or CycleModel(program.code)).run(changed, vector_rate=vector_rate)
    if result.status != Error.OK:
        raise UserError(
            f"program {program.model} on {arch.name}: must run to its end, stopped with "
            f"{Error(result.status).name} at instruction {result.error_index} "
            f"(cycle {result.cycles})"
        )
    return Estimate(
        cycles=result.cycles,
        layer_cycles=tuple(layer_cycles(program.layers, result.done_cycles)),
        counters=result.counters,
        dram_read_bytes=result.fetch_bytes + result.load_bytes,
        dram_write_bytes=result.store_bytes,
    )


def changed_arch(arch: Arch, changes: dict[str, object]) -> Arch:
    """The machine with some of CHANGES. Raises UserError."""
    wrong = [name for name in changes if name not in CHANGES]
    if wrong:
        raise UserError(
            f"estimate: a program runs on a machine changed in {', '.join(CHANGES)}, got "
            f"{', '.join(wrong)}; compile it for the other machine"
        )
    new = dataclasses.replace(arch, **changes)
    width = new.bytes_per_cycle
    if width < 4 or width > 128 or width & (width - 1):
        raise UserError(
            f"estimate: bytes_per_cycle must be a power of two of 4 to 128, got {width}"
        )
    for name in ("latency_cycles", "queue_depth", "token_bits"):
        if getattr(new, name) < 1:
            raise UserError(f"estimate: {name} must be at least 1, got {getattr(new, name)}")
    dram = arch_pb2.Dram(bytes_per_cycle=width, latency_cycles=new.latency_cycles)
    flight = 1 << (arch_rules.bytes_in_flight(dram) - 1).bit_length()
    for name in ("load", "store"):
        if name not in changes:
            dma = getattr(new, name)
            dma = dataclasses.replace(dma, buffer_bytes=max(dma.buffer_bytes, flight))
            new = dataclasses.replace(new, **{name: dma})
    if "fetch_buffer_bytes" not in changes:
        # As many beats as before, and bursts of at least one instruction word.
        scale = max(width // arch.bytes_per_cycle, 1)
        new = dataclasses.replace(new, fetch_buffer_bytes=arch.fetch_buffer_bytes * scale)
    return new
