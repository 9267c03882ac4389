"""Differences are found and traced to the instruction behind them."""

from __future__ import annotations

import dataclasses

import numpy as np

from jacquard.proto import npu_isa as isa
from jacquard.proto.lib.arch import load_config
from jacquard.sim.cosim.compare import difference, expect, listing
from jacquard.sim.cosim.program import Generator

_GENERATOR = Generator(load_config("nano4"), fault_rate=0.0)


def test_a_program_agrees_with_itself_and_every_seed_gives_the_same_again() -> None:
    program, again = _GENERATOR.program(3), Generator(load_config("nano4"), 0.0).program(3)
    assert program.instructions == again.instructions
    assert program.dram.tobytes() == again.dram.tobytes()
    expected = expect(_GENERATOR.arch, program)
    assert difference(_GENERATOR.arch, program, expected, expect(_GENERATOR.arch, again)) is None


def test_a_wrong_byte_names_the_store_that_wrote_it_and_its_cycle() -> None:
    program = _GENERATOR.program(4)
    expected = expect(_GENERATOR.arch, program)
    index, last = max(
        (i, instr) for i, instr in enumerate(program.instructions) if isinstance(instr, isa.Store)
    )
    wrong = expected.dram.copy()
    wrong[last.dram + 5] ^= 0x40
    cycles = np.arange(len(program.instructions), dtype=np.int64) * 100
    found = dataclasses.replace(expected, dram=wrong, done_cycles=cycles)
    message = difference(_GENERATOR.arch, program, expected, found)
    assert message is not None
    assert f"nano4 seed 4: 1 bytes of DRAM differ, the first at {last.dram + 5:#x}" in message
    assert f"last written by {index}: store buffer=VMEM" in message
    assert f"[finished in cycle {index * 100}]" in message


def test_a_byte_that_nobody_writes_is_said_to_be_so() -> None:
    program = _GENERATOR.program(5)
    expected = expect(_GENERATOR.arch, program)
    wrong = expected.dram.copy()
    wrong[-1] ^= 1
    found = dataclasses.replace(expected, dram=wrong)
    message = difference(_GENERATOR.arch, program, expected, found)
    assert message is not None and "no STORE of the program writes there" in message


def test_another_status_is_a_difference() -> None:
    program = _GENERATOR.program(6)
    expected = expect(_GENERATOR.arch, program)
    found = dataclasses.replace(expected, status=int(isa.Error.LOCAL_RANGE), error_index=7)
    message = difference(_GENERATOR.arch, program, expected, found)
    assert message is not None
    assert message.startswith("nano4 seed 6: ended with LOCAL_RANGE at instruction 7, expected OK")
    assert "\n  7: " in message


def test_listings_show_every_instruction() -> None:
    program = _GENERATOR.program(7)
    lines = listing(program).splitlines()
    assert len(lines) == 1 + len(program.instructions)
    assert lines[-1].endswith("end")
