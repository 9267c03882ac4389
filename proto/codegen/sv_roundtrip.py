"""Emits a module that decodes an instruction with npu_isa_pkg and shows every field.

For the round-trip test alone: `fields_o[k]` is field k of the instruction in the order of the
schema, extended to 64 bits; unused places are 0.
"""

from jacquard.proto.codegen import names
from jacquard.proto.lib import isa as isa_lib


def emit(isa: isa_lib.Isa) -> str:
    """Text of `npu_isa_roundtrip.sv`."""
    places = max(len(i.fields) for i in isa.instructions)
    lines = [
        "// Generated from the instruction set by proto/codegen; do not edit.",
        "module npu_isa_roundtrip (",
        "  input  logic [npu_isa_pkg::InstrBits-1:0] instr_i,",
        f"  output logic [{places - 1}:0][63:0] fields_o,",
        "  output logic known_o,",
        "  output npu_isa_pkg::engine_e engine_o",
        ");",
        "  import npu_isa_pkg::*;",
        "  header_t head;",
        "  assign head = header_t'(instr_i);",
        "  assign known_o = opcode_known(head.opcode);",
        "  assign engine_o = opcode_engine(head.opcode);",
        "  wire unused_head = &{1'b0, head};",
    ]
    for instruction in isa.instructions:
        name = instruction.name
        lines += [
            f"  {name}_t as_{name};",
            f"  assign as_{name} = {name}_t'(instr_i);",
            f"  wire unused_{name} = &{{1'b0, as_{name}}};",
        ]
    lines += ["  always_comb begin", "    fields_o = '0;", "    unique case (head.opcode)"]
    for instruction in isa.instructions:
        lines.append(f"      8'd{instruction.opcode}: begin")
        for place, field in enumerate(instruction.fields):
            member = names.sv_member(field.name)
            lines.append(f"        fields_o[{place}] = 64'(as_{instruction.name}.{member});")
        lines.append("      end")
    return "\n".join([*lines, "      default: ;", "    endcase", "  end", "endmodule", ""])
