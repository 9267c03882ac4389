"""The instruction set as data: loads the textproto, lays the fields out, validates.

In: the path of an `Isa` textproto. Out: an immutable `Isa` in which every field knows its bit
position. Everything that encodes, decodes or documents an instruction is generated from this.

Layout: word k starts at bit k * word_bits; inside a word the fields follow each other from the
least significant bit without gaps. Bytes are little-endian.
"""

import dataclasses
import pathlib

from google.protobuf import text_format

from jacquard.proto import isa_pb2
from jacquard.proto.lib import errors

DEFAULT_PATH = pathlib.Path(__file__).parent.parent / "isa" / "npu.textproto"


@dataclasses.dataclass(frozen=True)
class Value:
    """One name of an enumeration."""

    name: str
    number: int
    doc: str


@dataclasses.dataclass(frozen=True)
class Enum:
    """Named values; `width` bits hold every one of them."""

    name: str
    doc: str
    width: int
    values: tuple[Value, ...]


@dataclasses.dataclass(frozen=True)
class Field:
    """Bits [offset, offset + width) of an instruction."""

    name: str
    width: int
    signed: bool
    enum: str  # name of an Enum or empty
    doc: str
    unit: str
    offset: int

    @property
    def lowest(self) -> int:
        """Smallest encodable value."""
        return -(1 << (self.width - 1)) if self.signed else 0

    @property
    def highest(self) -> int:
        """Largest encodable value."""
        return (1 << (self.width - (1 if self.signed else 0))) - 1

    @property
    def width_mask(self) -> int:
        """`width` ones."""
        return (1 << self.width) - 1


@dataclasses.dataclass(frozen=True)
class Instruction:
    """Fields in order of their bits; the header's come first."""

    name: str
    opcode: int
    engine: str  # empty: executed by the fetch unit
    doc: str
    words: int
    fields: tuple[Field, ...]


@dataclasses.dataclass(frozen=True)
class Register:
    """AXI4-Lite register or array of `count` registers, `width` / 8 bytes apart."""

    name: str
    offset: int
    width: int
    count: int
    read_only: bool
    doc: str

    @property
    def end(self) -> int:
        """First byte after the register."""
        return self.offset + self.count * self.width // 8


@dataclasses.dataclass(frozen=True)
class Isa:
    """The whole instruction set and register map."""

    name: str
    word_bits: int
    max_words: int
    enums: tuple[Enum, ...]
    header: tuple[Field, ...]
    instructions: tuple[Instruction, ...]
    registers: tuple[Register, ...]

    @property
    def instruction_bits(self) -> int:
        """Bits of the longest encodable instruction."""
        return self.word_bits * self.max_words

    def enum(self, name: str) -> Enum:
        """The enumeration of that name; KeyError if there is none."""
        return {e.name: e for e in self.enums}[name]


def load_isa(path: str | pathlib.Path = DEFAULT_PATH) -> Isa:
    """Reads and validates; raises UserError with every mistake found."""
    place = _place(path)
    message = isa_pb2.Isa()
    try:
        text_format.Parse(pathlib.Path(path).read_text(encoding="utf-8"), message)
    except OSError as error:
        raise errors.UserError(
            f"{place}: cannot be read, {error.strerror}; check the path"
        ) from None
    except text_format.ParseError as error:
        raise errors.UserError(
            f"{place}: must be an Isa textproto, got {error}; see proto/isa.proto"
        ) from None
    return build(message, place)


def build(message: isa_pb2.Isa, place: str) -> Isa:
    """Lays out a parsed message; raises UserError with every mistake found, each after `place`."""
    found: list[str] = []
    if message.word_bits == 0 or message.word_bits % 8:
        found.append(
            f"word_bits must be a positive multiple of 8, got {message.word_bits}; try 128"
        )
    if message.max_words == 0:
        found.append("max_words must be at least 1, got 0; try 7")
    enums = _enums(message, found)
    structs = {s.name: tuple(s.fields) for s in message.structs}
    found += _repeated("struct", [s.name for s in message.structs])
    found += _repeated("instruction", [i.name for i in message.instructions])
    found += _repeated("opcode", [i.opcode for i in message.instructions])
    found += _repeated("register", [r.name for r in message.registers])
    enum_by_name = {e.name: e for e in enums}
    for struct in message.structs:
        found += _check_fields(f"struct {struct.name}", struct.fields, enum_by_name)
    header = _layout(
        "struct header", [isa_pb2.Word(struct="header")], structs, message.word_bits, found
    )
    if [f.name for f in header] != ["opcode", "length_words", "pop", "push"]:
        found.append(
            "struct header must have the fields opcode, length_words, pop, push in this "
            f"order, got {', '.join(f.name for f in header) or 'none'}; decoders need them"
        )
    instructions = []
    for raw in message.instructions:
        where = f"instruction {raw.name}"
        for word in raw.words:
            found += _check_fields(where, word.fields, enum_by_name)
        fields = _layout(where, raw.words, structs, message.word_bits, found)
        found += [f"{where}: {m}" for m in _repeated("field", [f.name for f in fields])]
        if len(raw.words) > message.max_words:
            found.append(
                f"{where} must have at most max_words = {message.max_words} words, "
                f"got {len(raw.words)}; raise max_words or drop fields"
            )
        if not raw.words or raw.words[0].struct != "header":
            found.append(
                f"{where}: the first word must name struct header, "
                f"got {raw.words[0].struct if raw.words else 'no word'!r}; add it"
            )
        if header and raw.opcode > header[0].highest:
            found.append(
                f"{where}: opcode must be at most {header[0].highest}, got {raw.opcode}; "
                "choose a smaller one"
            )
        engines = (
            {v.name for v in enum_by_name["engine"].values} if "engine" in enum_by_name else {}
        )
        if raw.engine and raw.engine not in engines:
            found.append(
                f"{where}: engine must be a value of enum engine, got {raw.engine!r}; "
                f"choose one of {', '.join(sorted(engines))}"
            )
        instructions.append(
            Instruction(raw.name, raw.opcode, raw.engine, raw.doc, len(raw.words), fields)
        )
    registers = _registers(message, found)
    errors.raise_if_any(f"{place}: {line}" for line in found)
    return Isa(
        message.name,
        message.word_bits,
        message.max_words,
        enums,
        header,
        tuple(instructions),
        registers,
    )


def _place(path: str | pathlib.Path) -> str:
    """Last two components: enough to find the file, the same on every machine."""
    return "/".join(pathlib.Path(path).parts[-2:])


def _repeated(kind: str, values: list[str] | list[int]) -> list[str]:
    seen: set[str | int] = set()
    twice = [v for v in values if v in seen or seen.add(v)]  # type: ignore[func-returns-value]
    return [f"{kind} must be unique, got {v} twice; rename one" for v in dict.fromkeys(twice)]


def _enums(message: isa_pb2.Isa, found: list[str]) -> tuple[Enum, ...]:
    found += _repeated("enum", [e.name for e in message.enums])
    result = []
    for raw in message.enums:
        found += [f"enum {raw.name}: {m}" for m in _repeated("value", [v.name for v in raw.values])]
        found += [
            f"enum {raw.name}: {m}" for m in _repeated("number", [v.number for v in raw.values])
        ]
        if not raw.values:
            found.append(f"enum {raw.name} must have values, got none; add one or drop it")
        needed = max((v.number for v in raw.values), default=0).bit_length() or 1
        if raw.width and raw.width < needed:
            found.append(
                f"enum {raw.name}: width must be at least {needed}, got {raw.width}; widen it"
            )
        used = [f.width for s in message.structs for f in s.fields if f.enum == raw.name]
        used += [
            f.width
            for i in message.instructions
            for w in i.words
            for f in w.fields
            if f.enum == raw.name
        ]
        if len(set(used)) > 1:
            found.append(
                f"enum {raw.name}: fields of it must agree in width, got "
                f"{sorted(set(used))}; choose one"
            )
        width = raw.width or (used[0] if used else needed)
        result.append(
            Enum(
                raw.name, raw.doc, width, tuple(Value(v.name, v.number, v.doc) for v in raw.values)
            )
        )
    return tuple(result)


def _check_fields(where: str, fields: list[isa_pb2.Field], enums: dict[str, Enum]) -> list[str]:
    found = []
    for field in fields:
        if field.width == 0:
            found.append(
                f"{where}: field {field.name} must be at least 1 bit wide, got 0; widen it"
            )
        if field.enum and field.enum not in enums:
            found.append(
                f"{where}: field {field.name} must name an enum, got {field.enum!r}; "
                f"choose one of {', '.join(enums)}"
            )
        elif field.enum:
            highest = max((v.number for v in enums[field.enum].values), default=0)
            if highest >> field.width:
                found.append(
                    f"{where}: field {field.name} must hold enum {field.enum} up to "
                    f"{highest}, got {field.width} bits; widen it"
                )
    return found


def _layout(
    where: str,
    words: list[isa_pb2.Word],
    structs: dict[str, tuple[isa_pb2.Field, ...]],
    word_bits: int,
    found: list[str],
) -> tuple[Field, ...]:
    fields: list[Field] = []
    for index, word in enumerate(words):
        position = 0
        members: list[tuple[str, isa_pb2.Field]] = []
        if word.struct:
            if word.struct not in structs:
                found.append(
                    f"{where}: word {index} must name a struct, got {word.struct!r}; "
                    f"choose one of {', '.join(structs)}"
                )
            prefix = f"{word.prefix}_" if word.prefix else ""
            members += [(prefix + f.name, f) for f in structs.get(word.struct, ())]
        members += [(f.name, f) for f in word.fields]
        for name, f in members:
            fields.append(
                Field(name, f.width, f.signed, f.enum, f.doc, f.unit, index * word_bits + position)
            )
            position += f.width
        if position > word_bits:
            found.append(
                f"{where}: word {index} must fit {word_bits} bits, got {position}; "
                "move fields to another word"
            )
    return tuple(fields)


def _registers(message: isa_pb2.Isa, found: list[str]) -> tuple[Register, ...]:
    registers = tuple(
        Register(r.name, r.offset, r.width, max(r.count, 1), r.access == isa_pb2.Register.RO, r.doc)
        for r in message.registers
    )
    for register in registers:
        if register.width not in (32, 64):
            found.append(
                f"register {register.name}: width must be 32 or 64, got {register.width}; "
                "choose one"
            )
        if register.offset % 4:
            found.append(
                f"register {register.name}: offset must be a multiple of 4, "
                f"got {register.offset:#x}; move it"
            )
    ordered = sorted(registers, key=lambda r: r.offset)
    for low, high in zip(ordered, ordered[1:], strict=False):
        if low.end > high.offset:
            found.append(
                f"register {high.name}: offset must be at least {low.end:#x}, where "
                f"{low.name} ends, got {high.offset:#x}; move it"
            )
    return registers
