"""LOAD: runs of DRAM bytes into an on-chip memory, with padding around them or picked by index."""

from __future__ import annotations

import numpy as np

from jacquard.proto import npu_isa as isa
from jacquard.sim.func.memories import Bytes, Fault, Memories, extent, runs, strided

_B = isa.Buffer
_REACHES = frozenset(int(buffer) for buffer in (_B.IBUF, _B.WBUF, _B.VMEM, _B.PARAM, _B.TABLE))


def signed_address(address: int) -> int:
    """A DRAM address modulo 2**64, as the signed number nearest to zero.

    Strides move an address by less than 2**50, so that with a DRAM far smaller than 2**63 an
    address is in range modulo 2**64 exactly if this one is in range as an integer.
    """
    return ((address + (1 << 63)) & ((1 << 64) - 1)) - (1 << 63)


def execute(memories: Memories, instr: isa.Load, args: tuple[int, ...]) -> None:
    """Executes one LOAD. Raises Fault ILLEGAL, LOCAL_RANGE, DRAM_READ or INDEX."""
    n0, n1, n2, n3 = instr.n0, instr.n1, instr.n2, instr.n3
    before0, before1 = instr.before0, instr.before1
    read0 = n0 - before0 - instr.after0  # bytes of a run that come from DRAM
    read1 = n1 - before1 - instr.after1  # runs of loop 1 that come from DRAM
    if not (n0 and n1 and n2 and n3) or read0 < 0 or read1 < 0:
        raise Fault(isa.Error.ILLEGAL)
    if instr.gather and (
        n2 > 1
        or n3 > 1
        or read0 < n0
        or read1 < n1
        or (args[instr.index_arg] + instr.index_dram) % 4
    ):
        raise Fault(isa.Error.ILLEGAL)
    if instr.buffer not in _REACHES:
        raise Fault(isa.Error.LOCAL_RANGE)
    memory = memories.buffer(instr.buffer)
    d1, d2, d3 = instr.d1, instr.d2, instr.d3
    lowest, highest = extent(instr.dst, (n1, n2, n3), (d1, d2, d3))
    if lowest < 0 or highest + n0 > memory.size:
        raise Fault(isa.Error.LOCAL_RANGE)
    if instr.gather:
        _gather(memories, memory, instr, args)
        return
    if read0 < n0 or read1 < n1:
        everything = strided(memory, np.uint8, instr.dst, (n3, n2, n1, n0), (d3, d2, d1, 1))
        everything[...] = instr.fill
    if read0 == 0 or read1 == 0:
        return
    counts = (n3, n2, read1)
    strides = (instr.s3, instr.s2, instr.s1)
    start = signed_address(args[instr.arg] + instr.dram)
    lowest, highest = extent(start, counts, strides)
    if lowest < 0 or highest + read0 > memories.dram.size:
        raise Fault(isa.Error.DRAM_READ)
    inside = instr.dst + before0 + before1 * d1
    target = runs(memory, inside, read0, counts, (d3, d2, d1))
    target[...] = runs(memories.dram, start, read0, counts, strides)


def _gather(memories: Memories, memory: Bytes, instr: isa.Load, args: tuple[int, ...]) -> None:
    """Runs picked by an index. Raises Fault INDEX or DRAM_READ, whichever is first in the list."""
    dram = memories.dram
    first = signed_address(args[instr.index_arg] + instr.index_dram)
    start = signed_address(args[instr.arg] + instr.dram)
    readable = 0
    if 0 <= first < dram.size:
        readable = min(instr.n1, (dram.size - first) // 4)
    indices = dram[first : first + 4 * readable].view("<u4").tolist() if readable else []
    for run, index in enumerate(indices):
        if index >= instr.index_limit:
            raise Fault(isa.Error.INDEX)
        source = signed_address(start + index * instr.s1)
        if source < 0 or source + instr.n0 > dram.size:
            raise Fault(isa.Error.DRAM_READ)
        target = instr.dst + run * instr.d1
        memory[target : target + instr.n0] = dram[source : source + instr.n0]
    if readable < instr.n1:
        raise Fault(isa.Error.DRAM_READ)
