"""Emits `npu_isa.py`: enumerations, one dataclass per instruction, encoder and decoder.

The fields are unrolled into straight-line code, because programs have up to 300,000 instructions
of up to 55 fields: a loop over field tables takes three times as long.
"""

from jacquard.proto.codegen import names
from jacquard.proto.lib import isa as isa_lib

_HEAD = '''"""Generated from the instruction set by proto/codegen; do not edit.

Encodes and decodes instructions. All fields are ints and default to 0; `opcode` and `length_words`
follow from the class and the values.
"""

import dataclasses
import enum
from collections.abc import Iterable
from typing import ClassVar, NamedTuple, TypeVar, dataclass_transform

WORD_BYTES = {word_bytes}
MAX_WORDS = {max_words}

_Class = TypeVar("_Class")


@dataclass_transform(kw_only_default=True, frozen_default=True)
def _immutable(kind: type[_Class]) -> type[_Class]:
    """A dataclass that type checkers take for frozen: they refuse to set a field.

    At run time nothing does, since a frozen instance takes four times as long to make.
    """
    return dataclasses.dataclass(slots=True, kw_only=True, unsafe_hash=True)(kind)


class FieldInfo(NamedTuple):
    """Bits [offset, offset + width) of an instruction; `enum`: name of the class of its values."""

    name: str
    offset: int
    width: int
    signed: bool
    enum: str
    unit: str


def _names_of(kind: type[enum.IntEnum], count: int) -> tuple[int, ...]:
    """Member for each number, the number itself where it has no name."""
    known = {{int(member): member for member in kind}}
    return tuple(known.get(number, number) for number in range(count))


def _out_of_range(instruction: "Instruction") -> ValueError:
    lines = []
    for field in instruction.FIELDS[4:] + instruction.FIELDS[2:4]:
        value = getattr(instruction, field.name)
        low = -(1 << (field.width - 1)) if field.signed else 0
        high = low + (1 << field.width) - 1
        if not low <= value <= high:
            lines.append(f"{{instruction.NAME}}.{{field.name}} must lie in {{low}} to {{high}}, "
                         f"got {{int(value)}}; split the instruction or move the operand")
    return ValueError("\\n".join(lines))
'''

_TAIL = '''

_BY_OPCODE: dict[int, type[Instruction]] = {{{by_opcode}}}
_BY_NAME: dict[str, type[Instruction]] = {{c.NAME: c for c in _BY_OPCODE.values()}}
INSTRUCTIONS: tuple[type[Instruction], ...] = tuple(_BY_OPCODE.values())


def by_name(name: str) -> type[Instruction]:
    """The class of a mnemonic; KeyError if there is none."""
    return _BY_NAME[name]


def encode(instruction: Instruction) -> bytes:
    """Little-endian words, trailing zero words left out.

    Raises ValueError naming each field whose value does not fit.
    """
    return instruction.encode()


def decode(buffer: bytes | memoryview, offset: int = 0) -> tuple[Instruction, int]:
    """The instruction at byte `offset` and the offset of the next one.

    Bits without a field are ignored, as the hardware does. Raises ValueError for an unknown opcode,
    a bad length, or an instruction cut short.
    """
    head = bytes(buffer[offset:offset + 2])
    if len(head) < 2:
        raise ValueError(f"byte {{offset}}: an instruction must follow, got the end of the program")
    kind = _BY_OPCODE.get(head[0])
    if kind is None:
        raise ValueError(f"byte {{offset}}: unknown opcode {{head[0]}}")
    length = head[1] & {length_mask}
    if not 1 <= length <= MAX_WORDS:
        raise ValueError(f"byte {{offset}}: {{kind.NAME}}.length_words must lie in 1 to "
                         f"{{MAX_WORDS}}, got {{length}}")
    end = offset + length * WORD_BYTES
    if end > len(buffer):
        raise ValueError(f"byte {{offset}}: {{kind.NAME}} must have {{length * WORD_BYTES}} bytes, "
                         f"got {{len(buffer) - offset}}; the program is cut short")
    return kind._decode(bytes(buffer[offset:end])), end


def encode_program(instructions: Iterable[Instruction]) -> bytes:
    """The instructions one after another."""
    return b"".join([i.encode() for i in instructions])


def decode_program(code: bytes) -> list[Instruction]:
    """All instructions of `code`; raises ValueError as `decode`."""
    result = []
    offset = 0
    while offset < len(code):
        instruction, offset = decode(code, offset)
        result.append(instruction)
    return result


class RegisterInfo(NamedTuple):
    """Byte offset, bits, and how many of them follow each other."""

    offset: int
    width: int
    count: int  # type: ignore[assignment]


REGISTERS: dict[str, RegisterInfo] = {{
{registers}
}}
'''


def emit(isa: isa_lib.Isa) -> str:
    """The module's text."""
    if [f.offset for f in isa.header] != [0, 8, 12, 16] or isa.header[1].width > 8:
        # The decoder reads opcode and length from the first two bytes.
        raise ValueError(
            f"header must be opcode 8 bits, length_words 4, pop 4, push 4, got "
            f"{[(f.name, f.width) for f in isa.header]}"
        )
    parts = [_HEAD.format(word_bytes=isa.word_bits // 8, max_words=isa.max_words)]
    for enum in isa.enums:
        body = [f"    {v.name} = {v.number}  # {v.doc}" for v in enum.values]
        parts.append(
            '\n\nclass {}(enum.IntEnum):\n    """{}"""\n\n{}\n'.format(
                names.camel(enum.name), _sentence(enum.doc), "\n".join(body)
            )
        )
    parts.append("\n")
    for enum in isa.enums:
        if any(f.enum == enum.name for i in isa.instructions for f in i.fields):
            parts.append(
                f"\n_{enum.name.upper()} = _names_of({names.camel(enum.name)}, {1 << enum.width})"
            )
    parts.append('''


@_immutable
class Instruction:
    """What all instructions have."""

    OPCODE: ClassVar[int]
    NAME: ClassVar[str]
    ENGINE: ClassVar[Engine | None]  # None: executed by the fetch unit
    FIELDS: ClassVar[tuple[FieldInfo, ...]]
    pop: int = 0
    push: int = 0

    def encode(self) -> bytes:
        """See `encode`."""
        raise NotImplementedError

    @classmethod
    def _decode(cls, data: bytes) -> "Instruction":
        raise NotImplementedError
''')
    for instruction in isa.instructions:
        parts.append(_instruction(instruction, isa))
    parts.append(
        _TAIL.format(
            by_opcode=", ".join(f"{i.opcode}: {names.camel(i.name)}" for i in isa.instructions),
            length_mask=isa.header[1].highest,
            registers="\n".join(
                f'    "{r.name}": RegisterInfo({r.offset:#x}, {r.width}, {r.count}),'
                for r in isa.registers
            ),
        )
    )
    return "".join(parts)


def _sentence(text: str) -> str:
    return text if text.endswith(".") else text + "."


def _instruction(instruction: isa_lib.Instruction, isa: isa_lib.Isa) -> str:
    name = names.camel(instruction.name)
    operands = [f for f in instruction.fields if f.name not in ("opcode", "length_words")]
    engine = f"Engine.{instruction.engine}" if instruction.engine else "None"
    info = "\n".join(
        f'        FieldInfo("{f.name}", {f.offset}, {f.width}, {f.signed}, '
        f'"{names.camel(f.enum) if f.enum else ""}", "{f.unit}"),'
        for f in instruction.fields
    )
    lines = [
        "",
        "",
        "@_immutable",
        f"class {name}(Instruction):",
        f'    """{_sentence(instruction.doc)}"""',
        "",
        f"    OPCODE: ClassVar[int] = {instruction.opcode}",
        f'    NAME: ClassVar[str] = "{instruction.name}"',
        f"    ENGINE: ClassVar[Engine | None] = {engine}",
        f"    FIELDS: ClassVar[tuple[FieldInfo, ...]] = (\n{info}\n    )",
    ]
    lines += [f"    {f.name}: int = 0" for f in operands if f.name not in ("pop", "push")]
    lines += ["", "    def encode(self) -> bytes:", '        """See `encode`."""']
    for word in range(instruction.words):
        lines.append(f"        w{word} = {instruction.opcode if word == 0 else 0}")
        for f in operands:
            if f.offset // isa.word_bits != word:
                continue
            shift = f.offset % isa.word_bits
            put = f"w{word} |= v << {shift}" if shift else f"w{word} |= v"
            if f.signed:
                put = (
                    put.replace("v <<", f"(v & {f.width_mask:#x}) <<")
                    if shift
                    else f"w{word} |= v & {f.width_mask:#x}"
                )
            # int(): a NumPy scalar would overflow in the shift without a word.
            lines += [
                f"        if v := self.{f.name}:",
                "            v = int(v)",
                f"            if not {f.lowest} <= v <= {f.highest}:",
                "                raise _out_of_range(self)",
                f"            {put}",
            ]
    size = isa.word_bits // 8
    length = instruction.fields[1].offset
    for word in range(instruction.words - 1, 0, -1):
        total = " | ".join(["w0", str((word + 1) << length)])
        high = "".join(f" + w{k}.to_bytes({size}, 'little')" for k in range(1, word + 1))
        lines += [
            f"        if w{word}:",
            f"            return ({total}).to_bytes({size}, 'little'){high}",
        ]
    lines += [
        f"        return (w0 | {1 << length}).to_bytes({size}, 'little')",
        "",
        "    @classmethod",
        f'    def _decode(cls, data: bytes) -> "{name}":',
        "        w0 = int.from_bytes(data[:16], 'little')".replace("16", str(size)),
    ]
    lines += [
        f"        w{k} = int.from_bytes(data[{k * size}:{(k + 1) * size}], 'little')"
        for k in range(1, instruction.words)
    ]
    lines.append(f"        return {name}(")
    for f in operands:
        word, shift = divmod(f.offset, isa.word_bits)
        bits = (
            f"w{word} >> {shift} & {f.width_mask:#x}" if shift else f"w{word} & {f.width_mask:#x}"
        )
        if f.enum:
            bits = f"_{f.enum.upper()}[{bits}]"
        elif f.signed:
            sign = 1 << (f.width - 1)
            bits = f"({bits} ^ {sign:#x}) - {sign:#x}"
        lines.append(f"            {f.name}={bits},")
    lines.append("        )")
    return "\n".join(lines) + "\n"
