"""Inserts the tokens that make the engines respect the order of the tile IR.

The steps are in an order in which, run one after another, they are right. Two steps of different
engines conflict where one writes what the other reads or writes (on chip or in DRAM). For each
step and each other engine the latest conflicting step is looked up in shadow memories, which
remember the last reader and writer per engine of every granule. A token is spent only where
nothing that the engine has waited for already, itself or through others, implies it.
"""

from __future__ import annotations

import dataclasses
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from jacquard.compiler.tile.access import (
    CACHE, DRAM, Access, AccessFinder, Pattern, granules,
)
from jacquard.compiler.tile.ir import Step, TileProgram
from jacquard.proto import npu_isa as isa
from jacquard.proto.lib.arch import Arch

ENGINES = 4
FEW = 32  # cells whose maximum Python finds before NumPy has begun
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


class _Shadow:
    """Steps of one engine that last wrote, or read, each granule of a memory; -1 for none."""

    __slots__ = ("cells", "newest", "size")

    def __init__(self, size: int) -> None:
        self.size, self.newest = size, -1
        self.cells = np.empty(0, np.int32)  # until there is one

    def mark(self) -> Shadow:
        """The cells, to be written."""
        if not self.cells.size:
            self.cells = np.full(self.size, -1, np.int32)
        return self.cells


class _Use(NamedTuple):
    """An access of an engine: where to look for steps that conflict, and where to leave its own."""

    access: Access
    address: int
    conflicts: tuple[tuple[int, _Shadow], ...]  # (engine, shadow)
    own: _Shadow


def dependencies(program: TileProgram, arch: Arch) -> Dependencies:
    """Conflicts between engines, reduced to those that need a token."""
    finder = AccessFinder(arch, program.arguments)
    sizes = _sizes(program, arch)
    written = {(m, e): _Shadow(sizes[m]) for m, engines in WRITERS.items() for e in engines}
    read = {(m, e): _Shadow(sizes[m]) for m, engines in READERS.items() for e in engines}

    def use(pattern: Pattern, engine: int) -> _Use:
        memory, write = pattern.access.memory, pattern.access.write
        against = [(e, written[memory, e]) for e in WRITERS[memory] if e != engine]
        if write:
            against += [(e, read[memory, e]) for e in READERS[memory] if e != engine]
        own = (written if write else read)[memory, engine]
        return _Use(*pattern, tuple(against), own)

    uses: dict[int, list[_Use]] = {}  # by the identity of the patterns, which the finder keeps
    needs = np.full((len(program.steps), ENGINES), -1, np.int32)
    known = [[-1] * ENGINES for _ in range(ENGINES)]  # [engine][other]: latest step waited for
    at_step: list[tuple[int, ...]] = []  # what the step's engine knew when it started
    for index, step in enumerate(program.steps):
        engine = int(step.instruction.ENGINE)  # type: ignore[arg-type]
        patterns, moved = finder.patterns(step.instruction)
        found = uses.get(id(patterns))
        if found is None:
            found = uses[id(patterns)] = [use(pattern, engine) for pattern in patterns]
        mine = known[engine]
        latest = mine.copy()
        for access, address, conflicts, _ in found:
            base = access.base + moved[address]
            for other, shadow in conflicts:
                if shadow.newest > latest[other]:
                    newest = _max(shadow.cells, base, access)
                    if newest > latest[other]:
                        latest[other] = newest
        if latest != mine:
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
        for access, address, _, own in found:
            base = access.base + moved[address]
            own.newest = index
            if access.dims:
                _view(own.mark(), base, access)[...] = index
            else:
                own.mark()[base : base + access.run] = index
    return Dependencies(needs)


def _view(cells: Shadow, base: int, access: Access) -> Shadow:
    """The granules of a strided access at another base than its own."""
    shape = (*(n for n, _ in access.dims), access.run)
    strides = (*(s * 4 for _, s in access.dims), 4)
    return np.ndarray(shape, np.int32, cells, base * 4, strides)


def _max(cells: Shadow, base: int, access: Access) -> int:
    if access.dims:
        return int(_view(cells, base, access).max())
    if access.run <= FEW:
        return int(max(cells[base : base + access.run].tolist()))
    return int(np.maximum.reduce(cells[base : base + access.run]))


def insert(program: TileProgram, found: Dependencies) -> TileProgram:
    """Sets pop and push. At most one token per pair of engines and step, in order on both sides."""
    pops = [0] * len(program.steps)
    pushes = [0] * len(program.steps)
    waiting, others = np.nonzero(found.needs >= 0)
    sources = found.needs[waiting, others]
    for index, other, source in zip(
        waiting.tolist(), others.tolist(), sources.tolist(), strict=True
    ):
        pops[index] |= 1 << other
        engine = program.steps[index].instruction.ENGINE
        assert engine is not None
        pushes[source] |= 1 << int(engine)
    steps = tuple(
        Step(step.instruction, step.layer, pop, push)
        for step, pop, push in zip(program.steps, pops, pushes, strict=True)
    )
    return dataclasses.replace(program, steps=steps)
