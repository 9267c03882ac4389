"""Emits `npu_isa_pkg.sv`: opcodes, enumerations, packed instruction structs, register offsets.

Each struct covers all InstrBits, with padding members, so that `load_t'(instr)` decodes. Packed
structs list the most significant member first; the schema lists the least significant first.
"""

from jacquard.proto.codegen import names
from jacquard.proto.lib import isa as isa_lib


def emit(isa: isa_lib.Isa) -> str:
    """The package's text."""
    by_engine = {i.engine: i for i in isa.instructions if i.engine}
    opcode, length = isa.header[0], isa.header[1]
    lines = [
        "// Generated from the instruction set by proto/codegen; do not edit.",
        # A design that leaves a parameter of a package unused is not at fault.
        "/* verilator lint_off UNUSEDPARAM */",
        "package npu_isa_pkg;",
        f"  localparam int unsigned WordBits = {isa.word_bits};",
        f"  localparam int unsigned WordBytes = {isa.word_bits // 8};",
        f"  localparam int unsigned MaxWords = {isa.max_words};",
        f"  localparam int unsigned InstrBits = {isa.instruction_bits};",
        f"  localparam int unsigned InstrBytes = {isa.instruction_bits // 8};",
        f"  localparam int unsigned NumEngines = {len(isa.enum('engine').values)};",
        f"  localparam int unsigned NumBuckets = {len(isa.enum('bucket').values)};",
        "",
    ]
    for instruction in isa.instructions:
        lines.append(
            f"  localparam logic [{opcode.width - 1}:0] "
            f"Opcode{names.camel(instruction.name)} = {opcode.width}'d{instruction.opcode};"
        )
    for instruction in isa.instructions:
        lines.append(
            f"  // 128-bit words of {instruction.name} that have fields.".replace(
                "128", str(isa.word_bits)
            )
        )
        lines.append(
            f"  localparam int unsigned Words{names.camel(instruction.name)} = {instruction.words};"
        )
    for enum in isa.enums:
        kind = names.camel(enum.name)
        lines += ["", f"  // {enum.doc}", f"  typedef enum logic [{enum.width - 1}:0] {{"]
        for index, value in enumerate(enum.values):
            comma = "," if index + 1 < len(enum.values) else ""
            lines.append(
                f"    {kind}{names.camel(value.name)} = {enum.width}'d{value.number}{comma}"
                f"  // {value.doc}"
            )
        lines.append(f"  }} {enum.name}_e;")
    lines += [
        "",
        *_struct(
            "header_t", "The first word of every instruction.", isa.header, isa.instruction_bits
        ),
    ]
    for instruction in isa.instructions:
        lines += [
            "",
            *_struct(
                f"{instruction.name}_t", instruction.doc, instruction.fields, isa.instruction_bits
            ),
        ]
    lines += [
        "",
        "  // Engine of an opcode; meaningful only where opcode_known and not OpcodeEnd.",
        f"  function automatic engine_e opcode_engine(input logic [{opcode.width - 1}:0] opcode);",
        "    unique case (opcode)",
    ]
    first = next(iter(by_engine))
    for engine, instruction in by_engine.items():
        if engine != first:
            lines.append(
                f"      Opcode{names.camel(instruction.name)}: return Engine{names.camel(engine)};"
            )
    lines += [
        f"      default: return Engine{names.camel(first)};",
        "    endcase",
        "  endfunction",
        "",
        f"  function automatic logic opcode_known(input logic [{opcode.width - 1}:0] opcode);",
        "    return opcode inside {"
        + ", ".join(f"Opcode{names.camel(i.name)}" for i in isa.instructions)
        + "};",
        "  endfunction",
        "",
        f"  function automatic logic length_legal(input logic [{length.width - 1}:0] words);",
        f"    return words != 0 && words <= {length.width}'d{isa.max_words};",
        "  endfunction",
        "",
    ]
    for register in isa.registers:
        lines.append(f"  // {register.doc}")
        lines.append(
            f"  localparam logic [11:0] Reg{names.camel(register.name)} = "
            f"12'h{register.offset:03x};"
        )
        if register.count > 1:
            lines.append(
                f"  localparam int unsigned Reg{names.camel(register.name)}Count = "
                f"{register.count};"
            )
    return "\n".join([*lines, "endpackage", "/* verilator lint_on UNUSEDPARAM */", ""])


def _struct(name: str, doc: str, fields: tuple[isa_lib.Field, ...], bits: int) -> list[str]:
    members: list[str] = []
    position = 0
    gaps = 0
    for field in fields:
        if field.offset > position:
            members.append(f"    logic [{field.offset - position - 1}:0] pad{gaps};")
            gaps += 1
        if field.enum:
            kind = f"{field.enum}_e"
        else:
            kind = "logic signed" if field.signed else "logic"
            kind += f" [{field.width - 1}:0]" if field.width > 1 else ""
        unit = f" ({field.unit})" if field.unit else ""
        members.append(f"    {kind} {names.sv_member(field.name)};  // {field.doc}{unit}")
        position = field.offset + field.width
    if position < bits:
        members.append(f"    logic [{bits - position - 1}:0] pad{gaps};")
    return [f"  // {doc}", "  typedef struct packed {", *reversed(members), f"  }} {name};"]
