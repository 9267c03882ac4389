"""Text form of programs: assembler and disassembler.

One instruction a line, its mnemonic and the fields that are not zero:

    load buffer=IBUF dst=0x40 dram=0x1000 n0=64 n1=1 n2=1 n3=1 push=MATRIX  # from here a comment
    end

Fields with an enumeration take its names (numbers too), `pop` and `push` a list of engines
joined by `+`. Numbers are decimal or 0x hexadecimal. `assemble(disassemble(p)) == p` for every
program.
"""

import difflib
from collections.abc import Iterable

from jacquard.proto import npu_isa
from jacquard.proto.lib import errors

# Addresses read better in hexadecimal.
_HEX_FIELDS = frozenset({"dst", "src", "dram", "dst_base", "src1_base", "src2_base", "dst2_base"})
_MASKS = frozenset({"pop", "push"})


def disassemble(instruction: npu_isa.Instruction) -> str:
    """One line without a line break."""
    parts = [instruction.NAME]
    for field in instruction.FIELDS[4:] + instruction.FIELDS[2:4]:
        value = int(getattr(instruction, field.name))
        if value:
            parts.append(f"{field.name}={_format(field, value)}")
    return " ".join(parts)


def disassemble_program(instructions: Iterable[npu_isa.Instruction]) -> str:
    """One line each, with a line break after each."""
    return "".join(disassemble(i) + "\n" for i in instructions)


def assemble(text: str, place: str = "program") -> list[npu_isa.Instruction]:
    """The instructions of `text`; raises UserError with every mistake, `place:line: ...`."""
    program: list[npu_isa.Instruction] = []
    found: list[str] = []
    for number, line in enumerate(text.splitlines(), start=1):
        words = line.split("#", 1)[0].split()
        if not words:
            continue
        mistakes: list[str] = []
        instruction = _instruction(words, mistakes)
        found += [f"{place}:{number}: {m}" for m in mistakes]
        if instruction is not None and not mistakes:
            program.append(instruction)
    errors.raise_if_any(found)
    return program


def _format(field: npu_isa.FieldInfo, value: int) -> str:
    if field.name in _MASKS:
        return "+".join(e.name for e in npu_isa.Engine if value >> e & 1)
    if field.enum:
        for member in _members(field):
            if member == value:
                return member.name
    return hex(value) if field.name in _HEX_FIELDS else str(value)


def _members(field: npu_isa.FieldInfo) -> list[npu_isa.Engine]:
    return list(getattr(npu_isa, field.enum))


def _instruction(words: list[str], mistakes: list[str]) -> npu_isa.Instruction | None:
    name, *operands = words
    try:
        kind = npu_isa.by_name(name)
    except KeyError:
        known = [k.NAME for k in npu_isa.INSTRUCTIONS]
        mistakes.append(f"must start with an instruction, got {name!r}; {_nearest(name, known)}")
        return None
    fields = {f.name: f for f in kind.FIELDS if f.name not in ("opcode", "length_words")}
    values: dict[str, int] = {}
    for operand in operands:
        key, equals, text = operand.partition("=")
        if not equals or not text:
            mistakes.append(
                f"{name}: operands must be field=value, got {operand!r}; write no blanks around ="
            )
        elif key not in fields:
            mistakes.append(
                f"{name}: must name a field of {name}, got {key!r}; {_nearest(key, list(fields))}"
            )
        elif key in values:
            mistakes.append(f"{name}: {key} must be given once, got it again as {text!r}; drop one")
        else:
            values[key] = _value(name, fields[key], text, mistakes)
    return kind(**values)


def _value(name: str, field: npu_isa.FieldInfo, text: str, mistakes: list[str]) -> int:
    try:
        value = _number(field, text)
    except ValueError:
        names = (
            [e.name for e in npu_isa.Engine]
            if field.name in _MASKS
            else [m.name for m in _members(field)]
            if field.enum
            else []
        )
        way = f"{_nearest(text, names)} or a number" if names else "write 64 or 0x40"
        mistakes.append(
            f"{name}: {field.name} must be a {'name' if names else 'number'}, got {text!r}; {way}"
        )
        return 0
    low = -(1 << (field.width - 1)) if field.signed else 0
    high = low + (1 << field.width) - 1
    if not low <= value <= high:
        mistakes.append(
            f"{name}: {field.name} must lie in {low} to {high}, got {value}; "
            f"it has {field.width} bits"
        )
        return 0
    return value


def _number(field: npu_isa.FieldInfo, text: str) -> int:
    """Raises ValueError if `text` is neither a number nor a name that the field takes."""
    if field.name in _MASKS and not text[0].isdigit():
        value = 0
        for part in text.split("+"):
            if part not in npu_isa.Engine.__members__:
                raise ValueError(part)
            value |= 1 << npu_isa.Engine[part]
        return value
    if field.enum:
        for member in _members(field):
            if member.name == text:
                return member
    return int(text, 0)


def _nearest(name: str, known: list[str]) -> str:
    close = difflib.get_close_matches(name, known, n=1)
    return f"did you mean {close[0]}?" if close else f"known: {', '.join(known)}"
