"""Programs whose registers a run sets: verdicts against brute force over every number."""

import dataclasses

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jacquard.compiler.checker import brute_force, check, sample_programs
from jacquard.proto import npu_isa, program_pb2
from jacquard.proto.lib import arch, asm
from jacquard.proto.npu_isa import Engine

NANO = arch.load_config("nano4")
GOOD = sample_programs.cache_step(NANO)
PROGRAM = sample_programs.link_cache(NANO, GOOD)
SEGMENTS = {s.arg: s.size_bytes for s in PROGRAM.segments}
STEP = NANO.rows
_LOAD, _, _, _STORE = (1 << e for e in Engine)


def _safe_everywhere(
    instructions: list[npu_isa.Instruction], count: int = sample_programs.POSITIONS
) -> bool:
    """Each number put into the addresses, as the runtime puts it into the register."""
    for number in range(count):
        concrete = [
            dataclasses.replace(i, arg=3, dram=i.dram + number * STEP)
            if getattr(i, "arg", 0) == 4
            else i
            for i in instructions
        ]
        if not brute_force.is_safe(concrete, segments=SEGMENTS):
            return False
    return True


def _lines(instructions: list[npu_isa.Instruction]) -> list[str]:
    return check.check(sample_programs.link_cache(NANO, instructions), NANO)


def test_the_good_program_is_good() -> None:
    assert _safe_everywhere(GOOD)
    assert _lines(GOOD) == []


@pytest.mark.parametrize(
    ("pusher", "popper", "said"),
    [
        (1, 2, "read of 0 to 64 and write of 0 to 64 of DRAM segment of arg 3"),  # before the row
        (3, 4, "write of 64 to 128 and read of 0 to 128 of DRAM segment of arg 3"),  # after it
    ],
)
def test_a_dropped_token_is_found(pusher: int, popper: int, said: str) -> None:
    """STORE is through the argument's register, LOAD through the segment's."""
    mutant = list(GOOD)
    bits = {Engine.LOAD: _STORE, Engine.STORE: _LOAD}
    other = bits[GOOD[pusher].ENGINE]
    mutant[pusher] = dataclasses.replace(GOOD[pusher], push=GOOD[pusher].push & ~other)
    own = bits[GOOD[popper].ENGINE]
    mutant[popper] = dataclasses.replace(GOOD[popper], pop=GOOD[popper].pop & ~own)
    assert not _safe_everywhere(mutant)
    lines = _lines(mutant)
    assert any("must be ordered by tokens" in line and said in line for line in lines), lines


def test_a_race_at_one_position_only_is_found() -> None:
    """LOAD reads the last position alone, before it may have been written."""
    last = (sample_programs.POSITIONS - 1) * STEP
    read = npu_isa.Load(buffer=npu_isa.Buffer.WBUF, arg=3, dram=last, n0=STEP, n1=1, n2=1, n3=1)
    mutant = [*GOOD[:4], read, *GOOD[4:]]
    assert not _safe_everywhere(mutant)
    assert _safe_everywhere(mutant, sample_programs.POSITIONS - 1)
    [line] = _lines(mutant)
    assert f"program[4] load buffer=WBUF arg=3 dram={last:#x}" in line


def _without_states() -> program_pb2.Program:
    program = program_pb2.Program()
    program.CopyFrom(PROGRAM)
    del program.states[:]
    return program


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"count": 9}, "count must keep it in the 8 positions of state keys, got 9 steps of 1"),
        ({"step_bytes": 8}, "must keep it in the 8 positions of state keys, got 8 steps of 2"),
        ({"step_bytes": 2}, "step_bytes must be a multiple of 4, a position of state keys, got 2"),
        ({"step_bytes": 0}, "step_bytes must be a multiple of 4, a position of state keys, got 0"),
        ({"count": 0}, "count must be at least 1 and its last step begin in segment cache of 128"),
        ({"step_bytes": 1 << 63}, "got 8 steps of 9223372036854775808"),
        ({"arg": 0}, "arg must lie in 1 to 7 and be its own, got 0"),
        ({"arg": 3}, "arg must lie in 1 to 7 and be its own, got 3"),
        ({"arg": 8}, "arg must lie in 1 to 7 and be its own, got 8"),
        ({"segment": "cash"}, "segment must be one of data, cache, got 'cash'"),
        ({"segment": "data"}, "DRAM addresses must lie in"),
    ],
)
def test_a_wrong_argument_is_found(change: dict[str, int | str], said: str) -> None:
    program = program_pb2.Program()
    program.CopyFrom(PROGRAM)
    for field, value in change.items():
        setattr(program.arguments[0], field, value)
    if change == {"segment": "data"}:
        program.segments[0].size_bytes -= 64
        del program.outputs[:]
    lines = check.check(program, NANO)
    assert any(said in line for line in lines), lines


@pytest.mark.parametrize("change", [{"count": 9}, {"step_bytes": 8}, {"step_bytes": 5}])
def test_bounds_hold_for_every_number(change: dict[str, int]) -> None:
    """Without states to compare with, what the instructions reach must lie in the segment."""
    program = _without_states()
    assert check.check(program, NANO) == []
    for field, value in change.items():
        setattr(program.arguments[0], field, value)
    lines = check.check(program, NANO)
    assert any("must lie in segment cache (0 to 128), got bytes 64 to" in x for x in lines), lines


def test_one_step_alone_may_be_of_any_size() -> None:
    program = _without_states()
    program.arguments[0].count, program.arguments[0].step_bytes = 1, (1 << 64) - 1
    assert check.check(program, NANO) == []


def test_registers_of_one_name_have_one_count() -> None:
    program = _without_states()
    second = program.arguments.add()
    second.CopyFrom(program.arguments[0])
    second.arg, second.segment = 5, "data"
    assert check.check(program, NANO) == []
    second.count = 7
    [line] = check.check(program, NANO)
    assert "position: count must be the same in all of its registers, got 8 and 7" in line


def test_constants_are_not_written_through_an_argument() -> None:
    program = _without_states()
    segment = program.segments[1]
    segment.kind, segment.data = program_pb2.Segment.CONSTANT, bytes(segment.size_bytes)
    lines = check.check(program, NANO)
    assert len(lines) == 2
    assert "segment cache is constant and must not be written" in lines[0]


@pytest.mark.parametrize(
    ("at", "change", "said"),
    [
        (0, {"segment": "data"}, "state keys: must lie in a segment of kind STATE, got 'data'"),
        (0, {"name": "values"}, "state values: must be the only one of that name"),
        (1, {"offset_bytes": 60}, "state values: must not overlap state keys, got offset 60"),
        (1, {"offset_bytes": 68}, "tensor values: must lie in its segment 'cache' of 128 bytes"),
    ],
)
def test_a_wrong_state_is_found(at: int, change: dict[str, int | str], said: str) -> None:
    program = program_pb2.Program()
    program.CopyFrom(PROGRAM)
    for field, value in change.items():
        setattr(program.states[at], field, value)
    assert any(said in line for line in check.check(program, NANO))


def test_a_state_starts_as_zero() -> None:
    program = program_pb2.Program()
    program.CopyFrom(PROGRAM)
    program.segments[1].data = b"1"
    assert "segment cache: a state must have no data, got 1 bytes" in check.check(program, NANO)[0]


def test_lists_of_indices_stay_aligned() -> None:
    program = _without_states()
    gather = npu_isa.Load(
        buffer=npu_isa.Buffer.VMEM, arg=3, n0=4, n1=2, n2=1, n3=1, d1=4, s1=4, gather=1,
        index_arg=4, index_limit=8,
    )
    code = [gather, npu_isa.End()]
    program.code, program.instruction_count = npu_isa.encode_program(code), len(code)
    assert check.check(program, NANO) == []
    program.arguments[0].step_bytes = 6
    [line] = check.check(program, NANO)
    assert "index_arg must step by multiples of 4, got 6 bytes" in line


_FIELDS = ["arg", "dram", "n0", "n1", "s1", "pop", "push"]


@st.composite
def _mutants(draw: st.DrawFn) -> str:
    """In text form, which reads better where hypothesis prints it."""
    program = list(GOOD)
    for _ in range(draw(st.integers(1, 3))):
        index = draw(st.integers(0, len(program) - 2))
        name = draw(st.sampled_from(_FIELDS))
        old = getattr(program[index], name)
        if name == "arg":
            value = draw(st.sampled_from([2, 3, 4]))
        elif name in ("pop", "push"):
            value = old ^ draw(st.sampled_from([_LOAD, _STORE]))
        elif name.startswith("n"):
            value = draw(st.integers(1, 2 * old))
        else:
            value = max(0, old + draw(st.sampled_from([4, 16, 32])) * draw(st.integers(-4, 4)))
        program[index] = dataclasses.replace(program[index], **{name: value})
    return asm.disassemble_program(program)


@settings(max_examples=200, deadline=None)
@given(_mutants())
def test_what_is_clean_is_safe_at_every_position(text: str) -> None:
    """The converse may fail: rows through two instructions count as if their numbers differed."""
    mutant = asm.assemble(text)
    if not _lines(mutant):
        assert _safe_everywhere(mutant)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({}, ""),
        ({"role": program_pb2.Tensor.INDEX}, "only a mask's last element moves, got argument pos"),
        ({"shape": [1, 7]}, "position_argument must have 7 numbers, got 8 of position"),
        ({"position_argument": "place"}, "position_argument must have 8 numbers, got 0 of place"),
    ],
)
def test_a_mask_has_an_element_for_each_number(change: dict[str, object], said: str) -> None:
    program = program_pb2.Program()
    program.CopyFrom(PROGRAM)
    fields = {
        "role": program_pb2.Tensor.MASK,
        "shape": [1, 8],
        "position_argument": "position",
        **change,
    }
    program.inputs.add(name="mask", segment="data", **fields)
    lines = check.check(program, NANO)
    assert [said in line for line in lines] == [True] * bool(said), lines
