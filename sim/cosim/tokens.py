"""Synchronisation derived from overlaps: makes any sequence of instructions free of races.

For an ordered pair of engines (A, B), B's instructions are taken in order. Each needs the latest
earlier instruction of A that it conflicts with. If that is newer than the latest one that B has
already waited for, it pushes one token and this instruction pops one; so the n-th pop meets the
n-th push, and every push stands before its pop in the program.
"""

from __future__ import annotations

import random
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from jacquard.proto import npu_isa as isa
from jacquard.proto.lib.arch import Arch
from jacquard.sim.cosim.footprint import DRAM, Access

_ENGINES = len(isa.Engine)


class Synchroniser:
    """Remembers per byte and engine which instruction touched it last.

    The arrays are large, so they are kept from program to program: instructions are numbered on and
    on, and whatever lies below the current program's first number counts as never.
    """

    def __init__(self, arch: Arch, dram_bytes: int) -> None:
        sizes = {
            DRAM: dram_bytes,
            int(isa.Buffer.IBUF): arch.ibuf_bytes,
            int(isa.Buffer.WBUF): arch.wbuf_bytes,
            int(isa.Buffer.OBUF): arch.obuf_bytes,
            int(isa.Buffer.VMEM): arch.vmem_bytes,
            int(isa.Buffer.PARAM): arch.param_bytes,
            int(isa.Buffer.TABLE): arch.table_bytes,
        }
        self._read = {m: np.full((_ENGINES, size), -1, np.int32) for m, size in sizes.items()}
        self._written = {m: np.full((_ENGINES, size), -1, np.int32) for m, size in sizes.items()}
        self._next = 0

    def tokens(
        self,
        engines: Sequence[int],
        accesses: Sequence[Sequence[Access]],
        rng: random.Random,
        superfluous: float,
    ) -> tuple[list[int], list[int]]:
        """Pop and push masks of a program's instructions.

        Args:
          engines, accesses: of each instruction.
          superfluous: probability that an instruction waits for all that another engine has been
            given so far, needed or not.
        """
        first = self._next
        self._next += len(engines)
        pops, pushes = [0] * len(engines), [0] * len(engines)
        waited = np.full((_ENGINES, _ENGINES), -1)  # [A, B]: program index
        latest = [-1] * _ENGINES
        for index, (engine, touched) in enumerate(zip(engines, accesses, strict=True)):
            needed = self._needed(touched) - first
            for other in range(_ENGINES):
                if other == engine:
                    continue
                need = int(needed[other])
                if superfluous and rng.random() < superfluous:
                    need = latest[other]
                if need > waited[other, engine]:
                    waited[other, engine] = need
                    pushes[need] |= 1 << engine
                    pops[index] |= 1 << other
            for memory, addresses, write in touched:
                (self._written if write else self._read)[memory][engine][addresses] = first + index
            latest[engine] = index
        if superfluous:  # tokens that nobody takes: the next run must not see them
            for engine in range(_ENGINES):
                for other in range(_ENGINES):
                    if engine != other and latest[engine] > waited[engine, other]:
                        if rng.random() < superfluous:
                            pushes[latest[engine]] |= 1 << other
        return pops, pushes

    def _needed(self, touched: Sequence[Access]) -> npt.NDArray[np.int64]:
        """Latest conflicting instruction of each engine, as a running number."""
        needed = np.full(_ENGINES, -1, np.int64)
        for memory, addresses, write in touched:
            lo, hi = int(addresses.min()), int(addresses.max()) + 1
            dense = hi - lo == addresses.size
            tables = [self._written[memory]]
            if write:
                tables.append(self._read[memory])
            for table in tables:
                part = table[:, lo:hi] if dense else table[:, addresses]
                np.maximum(needed, part.max(axis=1), out=needed)
        return needed
