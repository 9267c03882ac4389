"""Encoder, decoder, assembler: every instruction with random fields, and bits computed apart."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from jacquard.proto import npu_isa
from jacquard.proto.lib import asm, errors, isa

_ISA = isa.load_isa()


def _instructions(kind: isa.Instruction) -> st.SearchStrategy[npu_isa.Instruction]:
    """Random fields: zero, either end of the range, or anything between."""
    fields = {
        f.name: st.one_of(
            st.just(0), st.sampled_from([f.lowest, f.highest]), st.integers(f.lowest, f.highest)
        )
        for f in kind.fields[2:]
    }
    return st.builds(npu_isa.by_name(kind.name), **fields)


ANY = st.one_of([_instructions(kind) for kind in _ISA.instructions])


def _bits(instruction: npu_isa.Instruction) -> bytes:
    """The encoding by the rule alone: one big integer from the schema's layout."""
    kind = next(i for i in _ISA.instructions if i.name == instruction.NAME)
    whole = kind.opcode
    for field in kind.fields[2:]:
        whole += (int(getattr(instruction, field.name)) % (1 << field.width)) << field.offset
    words = max(1, -(-whole.bit_length() // 128))
    return (whole + (words << 8)).to_bytes(16 * words, "little")


@given(ANY)
def test_encoding_follows_the_schema(instruction: npu_isa.Instruction) -> None:
    assert npu_isa.encode(instruction) == _bits(instruction)


@given(ANY, st.binary(max_size=40))
def test_decode_returns_what_was_encoded(instruction: npu_isa.Instruction, rest: bytes) -> None:
    code = npu_isa.encode(instruction)
    assert npu_isa.decode(b"\x00" * 16 + code + rest, 16) == (instruction, 16 + len(code))


@given(st.lists(ANY, max_size=6))
def test_program_round_trips_through_bytes_and_text(program: list[npu_isa.Instruction]) -> None:
    assert npu_isa.decode_program(npu_isa.encode_program(program)) == program
    assert asm.assemble(asm.disassemble_program(program)) == program


def test_one_encoding_by_hand() -> None:
    store = npu_isa.Store(buffer=npu_isa.Buffer.VMEM, src=0x40, n0=7, n1=1, pop=4, l1=-1)
    word0 = 64 | 2 << 8 | 4 << 12 | 4 << 20 | 0x40 << 26
    word1 = 7 | 1 << 20 | 0xFFFFFF << 68
    assert npu_isa.encode(store) == word0.to_bytes(16, "little") + word1.to_bytes(16, "little")


def test_numpy_values_encode_like_ints() -> None:
    narrow = npu_isa.Load(dram=np.int64(1 << 39), n3=np.uint8(3), d1=np.int32(-4))
    assert npu_isa.encode(narrow) == npu_isa.encode(npu_isa.Load(dram=1 << 39, n3=3, d1=-4))


def test_every_value_out_of_range_is_named() -> None:
    with pytest.raises(ValueError) as caught:
        npu_isa.encode(npu_isa.Load(n0=1 << 20, d1=-(1 << 23) - 1, fill=255))
    assert str(caught.value).splitlines() == [
        "load.n0 must lie in 0 to 1048575, got 1048576; split the instruction or move the operand",
        "load.d1 must lie in -8388608 to 8388607, got -8388609; "
        "split the instruction or move the operand",
    ]


@pytest.mark.parametrize(
    ("code", "message"),
    [
        (b"\x02\x01" + bytes(14), "byte 0: unknown opcode 2"),
        (b"\x10\x00" + bytes(14), "byte 0: load.length_words must lie in 1 to 7, got 0"),
        (b"\x10\x08" + bytes(126), "byte 0: load.length_words must lie in 1 to 7, got 8"),
        (
            b"\x10\x02" + bytes(14),
            "byte 0: load must have 32 bytes, got 16; the program is cut short",
        ),
        (b"\x01", "byte 0: an instruction must follow, got the end of the program"),
    ],
)
def test_decode_refuses(code: bytes, message: str) -> None:
    with pytest.raises(ValueError) as caught:
        npu_isa.decode(code)
    assert str(caught.value) == message


def test_words_past_those_of_the_instruction_are_skipped() -> None:
    code = bytes([1, 3]) + bytes(14) + b"\xff" * 32
    assert npu_isa.decode(code) == (npu_isa.End(), 48)


def test_text_form() -> None:
    text = "load buffer=IBUF dst=0x40 dram=0x1000 n0=64 d1=-4 pop=MATRIX push=VECTOR+STORE"
    expected = npu_isa.Load(buffer=1, dst=0x40, dram=0x1000, n0=64, d1=-4, pop=2, push=12)
    assert asm.assemble(f"\n# head\n{text}  # why\nend\n") == [expected, npu_isa.End()]
    assert asm.disassemble(expected) == text


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("lod n0=1", "must start with an instruction, got 'lod'; did you mean load?"),
        ("load n0", "load: operands must be field=value, got 'n0'; write no blanks around ="),
        ("load n=1", "load: must name a field of load, got 'n'; did you mean n3?"),
        ("load n0=1 n0=2", "load: n0 must be given once, got it again as '2'; drop one"),
        ("load n0=1048576", "load: n0 must lie in 0 to 1048575, got 1048576; it has 20 bits"),
        ("load n0=ten", "load: n0 must be a number, got 'ten'; write 64 or 0x40"),
        (
            "load buffer=VMEN",
            "load: buffer must be a name, got 'VMEN'; did you mean VMEM? or a number",
        ),
        (
            "end push=LOAD+FETCH",
            "end: push must be a name, got 'LOAD+FETCH'; "
            "known: LOAD, MATRIX, VECTOR, STORE or a number",
        ),
        ("end opcode=3", "end: must name a field of end, got 'opcode'; known: pop, push"),
    ],
)
def test_assembler_refuses(line: str, message: str) -> None:
    with pytest.raises(errors.UserError) as caught:
        asm.assemble(f"end\n{line}\n", "a.npu")
    assert str(caught.value) == f"a.npu:2: {message}"


def test_assembler_reports_every_line() -> None:
    with pytest.raises(errors.UserError) as caught:
        asm.assemble("x\nend\ny\n")
    assert [line.split(" ")[0] for line in caught.value.lines] == ["program:1:", "program:3:"]
