"""Inserts the tokens that make the engines respect the order of the tile IR.

The steps are in an order in which, run one after another, they are right. Two steps of different
engines conflict where one writes what the other reads or writes (on chip or in DRAM). For each
step and each other engine the latest conflicting step is looked up in shadow memories, which
remember the last reader and writer per engine of every granule. A token is spent only where
nothing that the engine has waited for already, itself or through others, implies it.
"""

from __future__ import annotations

import dataclasses

import numpy as np
import numpy.typing as npt

from jacquard.compiler.tile.access import CACHE, DRAM, Access, AccessFinder, granules
from jacquard.compiler.tile.ir import Step, TileProgram
from jacquard.proto import npu_isa as isa
from jacquard.proto.lib.arch import Arch

ENGINES = 4
Shadow = npt.NDArray[np.int32]


@dataclasses.dataclass(frozen=True)
class Dependencies:
    """For each step and engine, the latest step of that engine that must have finished before.

    needs int32[steps, 4]: step indices, -1 for none; only those that nothing else implies.
    """

    needs: npt.NDArray[np.int32]


WRITERS = {
    DRAM: (3,), CACHE: (3,), int(isa.Buffer.IBUF): (0, 2), int(isa.Buffer.WBUF): (0,),
    int(isa.Buffer.OBUF): (1,), int(isa.Buffer.VMEM): (0, 2), int(isa.Buffer.PARAM): (0,),
    int(isa.Buffer.TABLE): (0,),
}
READERS = {
    DRAM: (0,), CACHE: (0,), int(isa.Buffer.IBUF): (1, 2, 3), int(isa.Buffer.WBUF): (1,),
    int(isa.Buffer.OBUF): (2,), int(isa.Buffer.VMEM): (2, 3), int(isa.Buffer.PARAM): (2,),
    int(isa.Buffer.TABLE): (2,),
}


def _sizes(program: TileProgram, arch: Arch) -> dict[int, int]:
    """Granules of every memory."""
    grains = granules(arch)
    return {
        DRAM: -(-program.scratch_bytes // grains[DRAM]) + 1,
        CACHE: -(-program.cache_bytes // grains[CACHE]) + 1,
        int(isa.Buffer.IBUF): arch.ibuf_rows, int(isa.Buffer.WBUF): arch.wbuf_rows,
        int(isa.Buffer.OBUF): arch.obuf_rows,
        int(isa.Buffer.VMEM): arch.vmem_bytes // grains[int(isa.Buffer.VMEM)],
        int(isa.Buffer.PARAM): arch.param_rows, int(isa.Buffer.TABLE): arch.table_rows,
    }


def dependencies(program: TileProgram, arch: Arch) -> Dependencies:
    """Conflicts between engines, reduced to those that need a token."""
    finder = AccessFinder(arch, program.arguments)
    # (memory, engine) -> step that last wrote, last read each granule; absent until it did.
    written: dict[tuple[int, int], Shadow] = {}
    read: dict[tuple[int, int], Shadow] = {}
    sizes = _sizes(program, arch)
    needs = np.full((len(program.steps), ENGINES), -1, np.int32)
    known = [[-1] * ENGINES for _ in range(ENGINES)]  # [engine][other]: latest step waited for
    at_step: list[tuple[int, ...]] = []  # what the step's engine knew when it started
    for index, step in enumerate(program.steps):
        engine = int(step.instruction.ENGINE)  # type: ignore[arg-type]
        found = finder.accesses(step.instruction)
        latest = [-1] * ENGINES
        for access in found:
            memory = access.memory
            for other in WRITERS[memory]:
                if other != engine and (shadow := written.get((memory, other))) is not None:
                    latest[other] = max(latest[other], _max(shadow, access))
            if access.write:
                for other in READERS[memory]:
                    if other != engine and (shadow := read.get((memory, other))) is not None:
                        latest[other] = max(latest[other], _max(shadow, access))
        mine = known[engine]
        # The newest first: what it implies may spare the others.
        for other in sorted(range(ENGINES), key=latest.__getitem__, reverse=True):
            newest = latest[other]
            if newest > mine[other]:
                needs[index, other] = newest
                mine[other] = newest
                for third, implied in enumerate(at_step[newest]):
                    if third != engine and implied > mine[third]:
                        mine[third] = implied
        at_step.append(tuple(mine))
        for access in found:
            shadows, key = written if access.write else read, (access.memory, engine)
            shadow = shadows.get(key)
            if shadow is None:
                shadow = shadows[key] = np.full(sizes[access.memory], -1, np.int32)
            if access.dims:
                _view(shadow, access)[...] = index
            else:
                shadow[access.base : access.base + access.run] = index
    return Dependencies(needs)


def _view(shadow: Shadow, access: Access) -> Shadow:
    """The granules of a strided access."""
    shape = (*(n for n, _ in access.dims), access.run)
    strides = (*(s * 4 for _, s in access.dims), 4)
    return np.ndarray(shape, np.int32, shadow, access.base * 4, strides)


def _max(shadow: Shadow, access: Access) -> int:
    if access.dims:
        return int(_view(shadow, access).max())
    return int(np.maximum.reduce(shadow[access.base : access.base + access.run]))


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
        Step(step.instruction, step.layer, pop, push)
        for step, pop, push in zip(program.steps, pops, pushes, strict=True)
    )
    return dataclasses.replace(program, steps=steps)
