"""Mutants of good Programs: the checker's verdict against one computed by brute force.

The oracle (`brute_force`) shares nothing with the checker but the decoded instructions.
"""

import dataclasses

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jacquard.compiler.checker import brute_force, check, sample_programs
from jacquard.proto import npu_isa
from jacquard.proto.lib import arch, asm
from jacquard.proto.npu_isa import Engine

NANO = arch.load_config("nano4")
GOOD = sample_programs.tiled(NANO, tiles=4, positions=8)


def _verdict(program: list[npu_isa.Instruction]) -> list[str]:
    return check.check(sample_programs.link(NANO, program), NANO)


def _token_edges(program: list[npu_isa.Instruction]) -> list[tuple[int, int]]:
    return [
        (pusher, popper)
        for a in Engine
        for b in Engine
        for pusher, popper in zip(
            [k for k, i in enumerate(program) if i.ENGINE == a and i.push >> b & 1],
            [k for k, i in enumerate(program) if i.ENGINE == b and i.pop >> a & 1],
            strict=True,
        )
    ]


def test_the_good_program_is_good() -> None:
    assert brute_force.is_safe(GOOD)
    assert _verdict(GOOD) == []


@pytest.mark.parametrize(("pusher", "popper"), _token_edges(GOOD))
def test_every_token_of_it_is_needed(pusher: int, popper: int) -> None:
    mutant = list(GOOD)
    source, target = GOOD[pusher].ENGINE, GOOD[popper].ENGINE
    mutant[pusher] = dataclasses.replace(GOOD[pusher], push=GOOD[pusher].push & ~(1 << target))
    mutant[popper] = dataclasses.replace(GOOD[popper], pop=GOOD[popper].pop & ~(1 << source))
    assert not brute_force.is_safe(mutant)
    lines = _verdict(mutant)
    assert any("must be ordered by tokens" in line for line in lines), lines


@pytest.mark.parametrize("index", range(len(GOOD) - 1))
@pytest.mark.parametrize("mask", ["pop", "push"])
@pytest.mark.parametrize("engine", Engine)
def test_a_single_token_more_or_less_is_caught(index: int, mask: str, engine: Engine) -> None:
    changed = getattr(GOOD[index], mask) ^ 1 << engine
    mutant = [*GOOD]
    mutant[index] = dataclasses.replace(GOOD[index], **{mask: changed})
    assert _verdict(mutant) != []


# Fields that the oracle understands, and values near those of the sample.
_FIELDS = {
    npu_isa.Load: ["dst", "dram", "n0", "n1", "n2", "d1", "d2", "s1", "arg"],
    npu_isa.Matrix: ["ibuf", "wbuf", "obuf", "n_x", "n_y", "n_c", "s_x", "s_y"],
    npu_isa.Vector: [
        "src1_base",
        "src1_stride0",
        "src1_stride1",
        "dst_base",
        "dst_stride0",
        "dst_stride1",
        "n0",
        "n1",
    ],
    npu_isa.Store: ["src", "dram", "n0", "n1", "l1", "s1", "arg"],
}
_STRIDES = {
    "d1",
    "d2",
    "s1",
    "s_x",
    "s_y",
    "l1",
    "src1_stride0",
    "src1_stride1",
    "dst_stride0",
    "dst_stride1",
}


@st.composite
def _mutants(draw: st.DrawFn) -> str:
    """In text form, which reads better where hypothesis prints it."""
    program = list(GOOD)
    for _ in range(draw(st.integers(1, 3))):
        index = draw(st.integers(0, len(program) - 2))
        kind = type(program[index])
        if draw(st.integers(0, 5)) == 0:
            other = draw(st.integers(0, len(program) - 2))
            program[index], program[other] = program[other], program[index]
            continue
        name = draw(st.sampled_from(_FIELDS[kind]))
        old = getattr(program[index], name)
        if name == "arg":
            value = draw(st.sampled_from([2, 3]))
        elif name.startswith("n"):
            value = draw(st.integers(1, 3)) if old <= 3 else draw(st.integers(1, 2 * old))
        else:
            step = draw(st.sampled_from([1, 4, 16, 32]))
            value = old + step * draw(st.integers(-4, 8))
            value = value if name in _STRIDES else max(0, value)
        program[index] = dataclasses.replace(program[index], **{name: value})
    return asm.disassemble_program(program)


@settings(max_examples=300, deadline=None)
@given(_mutants(), st.integers(0, 1000))
def test_verdicts_agree_with_brute_force(text: str, seed: int) -> None:
    mutant = asm.assemble(text)
    safe = brute_force.is_safe(mutant, seed)
    lines = _verdict(mutant)
    assert (lines == []) == safe, lines
