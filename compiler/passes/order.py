"""Orders the instructions for fetch, which is in order and stalls at a full queue.

Each engine keeps its own order. Between engines the order is that of the estimated times at which
the engine's queue has room, so that fetch does not stand before a full queue while another engine
runs out of work. What an instruction waits for stands before it, so the order is also one in which
the program could run step by step, and fetch cannot deadlock.
"""

from __future__ import annotations

import dataclasses

import numpy as np

from jacquard.compiler.passes.tokens import Dependencies
from jacquard.compiler.tile.cost import Durations
from jacquard.compiler.tile.ir import TileProgram
from jacquard.proto import npu_isa as isa
from jacquard.proto.lib.arch import Arch


def order(
    program: TileProgram, found: Dependencies, arch: Arch
) -> tuple[TileProgram, Dependencies]:
    """The same steps in the order of fetch, and the dependencies renumbered."""
    free = [0.0] * 4
    bus = 0.0  # LOAD and STORE share DRAM
    done = [0.0] * len(program.steps)
    keys: list[float] = []
    last = [0.0] * 4  # key of each engine's step before
    starts: list[list[float]] = [[] for _ in range(4)]
    needs = found.needs.tolist()
    duration = Durations(arch).duration
    for index, step in enumerate(program.steps):
        engine = int(step.instruction.ENGINE)  # type: ignore[arg-type]
        start = free[engine]
        for need in needs[index]:
            if need >= 0 and done[need] > start:
                start = done[need]
        busy, delay = duration(step.instruction)
        if engine in (isa.Engine.LOAD, isa.Engine.STORE):
            begin = max(start, bus - 4 * busy)  # the bus is shared, not handed over whole
            bus = max(bus, begin) + busy
            free[engine] = max(begin, start) + busy
        else:
            free[engine] = start + busy
        done[index] = free[engine] + delay
        queue = starts[engine]
        room = queue[-arch.queue_depth] if len(queue) >= arch.queue_depth else 0.0
        queue.append(start)
        last[engine] = max(last[engine], room, *(keys[n] for n in needs[index] if n >= 0), 0.0)
        keys.append(last[engine])
    # Keys never fall along one engine and never precede a dependency's: a stable sort keeps both.
    permutation = np.argsort(np.asarray(keys), kind="stable")
    place = np.empty_like(permutation)
    place[permutation] = np.arange(permutation.size)
    renumbered = found.needs[permutation]
    renumbered = np.where(renumbered >= 0, place[renumbered], -1).astype(np.int32)
    steps = tuple(program.steps[i] for i in permutation)
    return dataclasses.replace(program, steps=steps), Dependencies(renumbered)
