"""Layout and validation of the instruction set."""

import itertools
import pathlib

import pytest
from google.protobuf import text_format

from jacquard.proto import isa_pb2
from jacquard.proto.lib import errors, isa

SMALL = """
name: "small" word_bits: 32 max_words: 2
enums { name: "engine" values { name: "A" number: 0 } values { name: "B" number: 5 } }
structs {
  name: "header"
  fields { name: "opcode" width: 8 } fields { name: "length_words" width: 4 }
  fields { name: "pop" width: 4 } fields { name: "push" width: 4 }
}
structs { name: "pair" 
  fields { name: "x" width: 3 enum: "engine" } fields { name: "y" width: 5 signed: true }
}
instructions { name: "end" opcode: 1 words { struct: "header" } }
instructions {
  name: "go" opcode: 2 engine: "A"
  words { struct: "header" fields { name: "n" width: 12 } }
  words { struct: "pair" prefix: "p" fields { name: "z" width: 24 } }
}
registers { name: "R" offset: 0 width: 64 count: 2 }
registers { name: "S" offset: 16 width: 32 access: RO }
"""


def _build(text: str) -> isa.Isa:
    return isa.build(text_format.Parse(text, isa_pb2.Isa()), "isa/small.textproto")


def test_fields_follow_each_other_in_their_words() -> None:
    go = _build(SMALL).instructions[1]
    assert [(f.name, f.offset, f.width) for f in go.fields] == [
        ("opcode", 0, 8),
        ("length_words", 8, 4),
        ("pop", 12, 4),
        ("push", 16, 4),
        ("n", 20, 12),
        ("p_x", 32, 3),
        ("p_y", 35, 5),
        ("z", 40, 24),
    ]
    assert (go.fields[6].lowest, go.fields[6].highest) == (-16, 15)
    assert (go.fields[7].lowest, go.fields[7].highest) == (0, (1 << 24) - 1)


def test_an_enum_is_as_wide_as_its_fields() -> None:
    small = _build(SMALL)
    assert small.enum("engine").width == 3
    assert (
        _build(SMALL.replace('name: "engine"', 'name: "engine" width: 3')).enum("engine").width == 3
    )


def test_registers() -> None:
    r, s = _build(SMALL).registers
    assert (r.count, r.end, r.read_only, s.count, s.end, s.read_only) == (2, 16, False, 1, 20, True)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (
            '"z" width: 24',
            '"z" width: 25',
            "instruction go: word 1 must fit 32 bits, got 33; move fields to another word",
        ),
        (
            '"z" width: 24',
            '"z"',
            "instruction go: field z must be at least 1 bit wide, got 0; widen it",
        ),
        ('"z"', '"p_x"', "instruction go: field must be unique, got p_x twice; rename one"),
        ('name: "end"', 'name: "go"', "instruction must be unique, got go twice; rename one"),
        ("opcode: 2", "opcode: 1", "opcode must be unique, got 1 twice; rename one"),
        (
            "opcode: 2",
            "opcode: 256",
            "instruction go: opcode must be at most 255, got 256; choose a smaller one",
        ),
        (
            'enum: "engine"',
            'enum: "motor"',
            "struct pair: field x must name an enum, got 'motor'; choose one of engine",
        ),
        (
            "number: 5",
            "number: 8",
            "struct pair: field x must hold enum engine up to 8, got 3 bits; widen it",
        ),
        ("number: 5", "number: 0", "enum engine: number must be unique, got 0 twice; rename one"),
        (
            'struct: "pair"',
            'struct: "trio"',
            "instruction go: word 1 must name a struct, got 'trio'; choose one of header, pair",
        ),
        (
            'engine: "A"',
            'engine: "C"',
            "instruction go: engine must be a value of enum engine, got 'C'; choose one of A, B",
        ),
        (
            "max_words: 2",
            "max_words: 1",
            "instruction go must have at most max_words = 1 words, got 2; "
            "raise max_words or drop fields",
        ),
        (
            '{ name: "length_words" width: 4 }',
            '{ name: "length" width: 4 }',
            "struct header must have the fields opcode, length_words, pop, push in this order, "
            "got opcode, length, pop, push; decoders need them",
        ),
        (
            "offset: 16",
            "offset: 12",
            "register S: offset must be at least 0x10, where R ends, got 0xc; move it",
        ),
        (
            "offset: 16",
            "offset: 18",
            "register S: offset must be a multiple of 4, got 0x12; move it",
        ),
        ("width: 64", "width: 48", "register R: width must be 32 or 64, got 48; choose one"),
        (
            "word_bits: 32",
            "word_bits: 33",
            "word_bits must be a positive multiple of 8, got 33; try 128",
        ),
    ],
)
def test_one_mistake(old: str, new: str, message: str) -> None:
    assert old in SMALL
    with pytest.raises(errors.UserError) as caught:
        _build(SMALL.replace(old, new))
    assert f"isa/small.textproto: {message}" in caught.value.lines


def test_all_mistakes_are_reported_together() -> None:
    with pytest.raises(errors.UserError) as caught:
        _build(SMALL.replace("width: 12", "width: 13").replace("offset: 16", "offset: 8"))
    assert len(caught.value.lines) == 2


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("name: 3", "d/x.textproto: must be an Isa textproto, got "),
        (None, "d/x.textproto: cannot be read, No such file or directory; check the path"),
    ],
)
def test_a_file_that_is_none(tmp_path: pathlib.Path, content: str | None, message: str) -> None:
    path = tmp_path / "d" / "x.textproto"
    path.parent.mkdir()
    if content is not None:
        path.write_text(content)
    with pytest.raises(errors.UserError) as caught:
        isa.load_isa(path)
    assert str(caught.value).startswith(message)


def test_the_repository_instruction_set_leaves_no_bit_twice() -> None:
    npu = isa.load_isa()
    for instruction in npu.instructions:
        bits = list(
            itertools.chain.from_iterable(
                range(f.offset, f.offset + f.width) for f in instruction.fields
            )
        )
        assert len(set(bits)) == len(bits)
        assert max(bits) < npu.instruction_bits
