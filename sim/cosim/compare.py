"""What a program should have done, and where a device did otherwise.

Memory is compared as a whole. The first byte that differs is traced back to the last STORE that
wrote it, so that the message names an instruction and the cycle in which it finished.
"""

from __future__ import annotations

import dataclasses

import numpy as np
import numpy.typing as npt

from jacquard.proto import npu_isa as isa
from jacquard.proto.lib import asm
from jacquard.proto.lib.arch import Arch
from jacquard.sim.cosim.footprint import DRAM, footprint
from jacquard.sim.cosim.program import RandomProgram
from jacquard.sim.func.machine import Machine

Bytes = npt.NDArray[np.uint8]


@dataclasses.dataclass(frozen=True)
class Outcome:
    """How a program ended on some device.

    dram: uint8, the whole image. done_cycles: int64 per instruction, -1 where it is not known or
    the instruction has not finished.
    """

    status: int
    error_index: int
    dram: Bytes
    cycles: int = 0
    done_cycles: npt.NDArray[np.int64] | None = None


def expect(arch: Arch, program: RandomProgram) -> Outcome:
    """The outcome by sim/func, from on-chip memories of zeros."""
    machine = Machine(arch, program.dram.copy())
    result = machine.run(program.address, program.args)
    return Outcome(int(result.status), result.error_index, machine.dram)


def difference(
    arch: Arch, program: RandomProgram, expected: Outcome, found: Outcome
) -> str | None:
    """None if they agree, else a few lines for a reader. After an error memory is undefined."""
    name = f"{program.config} seed {program.seed}"
    if (found.status, found.error_index) != (expected.status, expected.error_index):
        lines = [
            f"{name}: ended with {_status(found)}, expected {_status(expected)}",
            f"  broken on purpose: {program.fault or 'nothing'}",
        ]
        for outcome in (found, expected):
            if outcome.status and outcome.error_index < len(program.instructions):
                lines.append("  " + _line(program, outcome, outcome.error_index))
        return "\n".join(lines)
    if expected.status:
        return None
    wrong = np.flatnonzero(found.dram != expected.dram)
    if not wrong.size:
        return None
    at = int(wrong[0])
    lines = [
        f"{name}: {wrong.size} bytes of DRAM differ, the first at {at:#x}: "
        f"{found.dram[at]:#04x}, expected {expected.dram[at]:#04x} "
        f"(before the run {program.dram[at]:#04x})"
    ]
    writer = _writer(arch, program, at)
    if writer is None:
        lines.append("  no STORE of the program writes there")
    else:
        lines.append("  last written by " + _line(program, found, writer))
    return "\n".join(lines)


def _status(outcome: Outcome) -> str:
    try:
        name = isa.Error(outcome.status).name
    except ValueError:
        name = f"status {outcome.status}"
    return f"{name} at instruction {outcome.error_index}" if outcome.status else name


def _line(program: RandomProgram, outcome: Outcome, index: int) -> str:
    cycle = ""
    if outcome.done_cycles is not None and index < len(outcome.done_cycles):
        done = int(outcome.done_cycles[index])
        cycle = f" [finished in cycle {done}]" if done >= 0 else " [not finished]"
    return f"{index}: {asm.disassemble(program.instructions[index])}{cycle}"


def _writer(arch: Arch, program: RandomProgram, address: int) -> int | None:
    for index in range(len(program.instructions) - 1, -1, -1):
        instr = program.instructions[index]
        if isinstance(instr, isa.Store):
            for access in footprint(isa.Store, instr, arch, program.args):
                if access.memory == DRAM and access.write and address in access.addresses:
                    return index
    return None


def listing(program: RandomProgram, outcome: Outcome | None = None) -> str:
    """The whole program in text form, with the cycles in which instructions finished if known."""
    empty = Outcome(0, 0, program.dram)
    lines = [_line(program, outcome or empty, i) for i in range(len(program.instructions))]
    head = f"# {program.config} seed {program.seed} at {program.address:#x} args "
    head += " ".join(hex(arg) for arg in program.args)
    return "\n".join([head, *lines]) + "\n"
