"""sim/func against the scalar reading of docs/machine.md, on random programs, all memories."""

from __future__ import annotations

import pytest

from jacquard.proto import npu_isa as isa
from jacquard.proto.lib.arch import load_config
from jacquard.sim.cosim.program import Generator, RandomProgram
from jacquard.sim.func.machine import Machine
from jacquard.sim.func.scalar import ScalarFault, ScalarMachine


def _run_scalar(
    machine: ScalarMachine, program: RandomProgram
) -> tuple[int, int]:
    for index, instr in enumerate(program.instructions):
        try:
            machine.execute(instr.NAME, instr, program.args)
        except ScalarFault as fault:
            return fault.code, index
    return 0, 0


@pytest.mark.parametrize(
    ("config", "first", "count"), [("nano4", 0, 40), ("edge16", 0, 12), ("edge16w4", 0, 8)]
)
def test_random_programs_give_the_same_memories(config: str, first: int, count: int) -> None:
    generator = Generator(load_config(config), fault_rate=0.0)
    for seed in range(first, first + count):
        program = generator.program(seed)
        machine = Machine(generator.arch, program.dram.copy())
        result = machine.run(program.address, program.args)
        scalar = ScalarMachine(generator.arch, bytearray(program.dram.tobytes()))
        assert (result.status, result.error_index) == _run_scalar(scalar, program), seed
        assert machine.dram.tobytes() == bytes(scalar.dram), f"seed {seed}: DRAM"
        for buffer, memory in scalar.memory.items():
            found = machine.memories.buffers[buffer]
            assert found is not None
            assert found.tobytes() == bytes(memory), f"seed {seed}: {isa.Buffer(buffer).name}"


@pytest.mark.parametrize(("config", "count"), [("nano4", 60), ("edge16", 15)])
def test_broken_programs_end_with_the_same_code_and_index(config: str, count: int) -> None:
    generator = Generator(load_config(config), fault_rate=1.0)
    for seed in range(count):
        program = generator.program(seed)
        at = int(program.fault.split()[0])
        machine = Machine(generator.arch, program.dram.copy())
        result = machine.run(program.address, program.args)
        assert result.status != isa.Error.OK, f"seed {seed}: {program.fault}"
        assert result.error_index == at, f"seed {seed}: {program.fault}"
        if "in vain" in program.fault:
            assert result.status == isa.Error.WATCHDOG
            continue
        if any(word in program.fault for word in ("opcode", "length_words", "token")):
            assert result.status == isa.Error.ILLEGAL
            continue
        scalar = ScalarMachine(generator.arch, bytearray(program.dram.tobytes()))
        assert (result.status, result.error_index) == _run_scalar(scalar, program), program.fault
