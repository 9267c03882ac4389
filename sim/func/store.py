"""STORE: runs of bytes of an on-chip memory to DRAM."""

from __future__ import annotations

from jacquard.proto import npu_isa as isa
from jacquard.sim.func.load import signed_address
from jacquard.sim.func.memories import Fault, Memories, extent, runs

_REACHES = frozenset(int(buffer) for buffer in (isa.Buffer.VMEM, isa.Buffer.IBUF))


def execute(memories: Memories, instr: isa.Store, args: tuple[int, ...]) -> None:
    """Executes one STORE. Raises Fault ILLEGAL, LOCAL_RANGE or DRAM_WRITE."""
    n0 = instr.n0
    counts = (instr.n3, instr.n2, instr.n1)
    if not n0 or 0 in counts:
        raise Fault(isa.Error.ILLEGAL)
    if instr.buffer not in _REACHES:
        raise Fault(isa.Error.LOCAL_RANGE)
    memory = memories.buffer(instr.buffer)
    local = (instr.l3, instr.l2, instr.l1)
    lowest, highest = extent(instr.src, counts, local)
    if lowest < 0 or highest + n0 > memory.size:
        raise Fault(isa.Error.LOCAL_RANGE)
    remote = (instr.s3, instr.s2, instr.s1)
    start = signed_address(args[instr.arg] + instr.dram)
    lowest, highest = extent(start, counts, remote)
    if lowest < 0 or highest + n0 > memories.dram.size:
        raise Fault(isa.Error.DRAM_WRITE)
    target = runs(memories.dram, start, n0, counts, remote)
    target[...] = runs(memory, instr.src, n0, counts, local)
