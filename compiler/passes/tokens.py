"""Inserts the tokens that make the engines respect the order of the tile IR.

The steps are in an order in which, run one after another, they are right. Two steps of different
engines conflict where one writes what the other reads or writes (on chip or in DRAM). For each step
and each other engine the latest conflicting step is looked up in shadow memories, which remember the
last reader and writer per engine of every granule. A token is spent only where nothing that the engine
has waited for already, itself or through others, implies it.
"""

from __future__ import annotations

import dataclasses

import numpy as np
import numpy.typing as npt
from numpy.lib.stride_tricks import as_strided

from jacquard.compiler.tile.access import DRAM, Access, accesses, granules
from jacquard.compiler.tile.ir import Step, TileProgram
from jacquard.proto import npu_isa as isa
from jacquard.proto.lib.arch import Arch

ENGINES = 4


@dataclasses.dataclass(frozen=True)
class Dependencies:
    """For each step and engine, the latest step of that engine that must have finished before.

    needs int32[steps, 4]: step indices, -1 for none; only those that nothing else implies.
    """

    needs: npt.NDArray[np.int32]


def dependencies(program: TileProgram, arch: Arch) -> Dependencies:
    """Conflicts between engines, reduced to those that need a token."""
    grains = granules(arch)
    sizes = {
        DRAM: -(-program.scratch_bytes // grains[DRAM]) + 1,
        int(isa.Buffer.IBUF): arch.ibuf_rows, int(isa.Buffer.WBUF): arch.wbuf_rows,
        int(isa.Buffer.OBUF): arch.obuf_rows,
        int(isa.Buffer.VMEM): arch.vmem_bytes // grains[int(isa.Buffer.VMEM)],
        int(isa.Buffer.PARAM): arch.param_rows,
    }
    # [memory][engine]: step that last wrote, last read each granule; -1 for none.
    written = {m: [np.full(n, -1, np.int32) for _ in range(ENGINES)] for m, n in sizes.items()}
    read = {m: [np.full(n, -1, np.int32) for _ in range(ENGINES)] for m, n in sizes.items()}
    writers = {
        DRAM: (3,), int(isa.Buffer.IBUF): (0, 2), int(isa.Buffer.WBUF): (0,),
        int(isa.Buffer.OBUF): (1,), int(isa.Buffer.VMEM): (0, 2), int(isa.Buffer.PARAM): (0,),
    }
    readers = {
        DRAM: (0,), int(isa.Buffer.IBUF): (1, 2, 3), int(isa.Buffer.WBUF): (1,),
        int(isa.Buffer.OBUF): (2,), int(isa.Buffer.VMEM): (2, 3), int(isa.Buffer.PARAM): (2,),
    }
    needs = np.full((len(program.steps), ENGINES), -1, np.int32)
    known = [[-1] * ENGINES for _ in range(ENGINES)]  # [engine][other]: latest step waited for
    at_step: list[tuple[int, ...]] = []  # what the step's engine knew when it started
    for index, step in enumerate(program.steps):
        engine = int(step.instruction.ENGINE)  # type: ignore[arg-type]
        found = list(accesses(step.instruction, arch))
        latest = [-1] * ENGINES
        for access in found:
            for other in writers[access.memory]:
                if other != engine:
                    latest[other] = max(latest[other], _max(written[access.memory][other], access))
            if access.write:
                for other in readers[access.memory]:
                    if other != engine:
                        latest[other] = max(latest[other], _max(read[access.memory][other], access))
        mine = known[engine]
        # The newest first: what it implies may spare the others.
        for other in sorted(range(ENGINES), key=lambda e: -latest[e]):
            if latest[other] > mine[other]:
                needs[index, other] = latest[other]
                mine[other] = latest[other]
                for third, newest in enumerate(at_step[latest[other]]):
                    if third != engine and newest > mine[third]:
                        mine[third] = newest
        at_step.append(tuple(mine))
        for access in found:
            shadow = written if access.write else read
            _view(shadow[access.memory][engine], access)[...] = index
    return Dependencies(needs)


def _view(shadow: npt.NDArray[np.int32], access: Access) -> npt.NDArray[np.int32]:
    if not access.dims:
        return shadow[access.base : access.base + access.run]
    shape = (*(n for n, _ in access.dims), access.run)
    strides = (*(s * 4 for _, s in access.dims), 4)
    return as_strided(shadow[access.base : access.end], shape, strides)


def _max(shadow: npt.NDArray[np.int32], access: Access) -> int:
    return int(_view(shadow, access).max())


def insert(program: TileProgram, found: Dependencies) -> TileProgram:
    """Sets pop and push. At most one token per pair of engines and step, in order on both sides."""
    pops = [0] * len(program.steps)
    pushes = [0] * len(program.steps)
    for index, other in zip(*np.nonzero(found.needs >= 0), strict=True):
        pops[index] |= 1 << int(other)
        engine = program.steps[index].instruction.ENGINE
        assert engine is not None
        pushes[int(found.needs[index, other])] |= 1 << int(engine)
    steps = tuple(
        Step(dataclasses.replace(step.instruction, pop=pop, push=push), step.layer)
        if pop or push
        else step
        for step, pop, push in zip(program.steps, pops, pushes, strict=True)
    )
    return dataclasses.replace(program, steps=steps)
