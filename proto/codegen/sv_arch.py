"""Emits `npu_arch_pkg.sv`: the numbers of one configuration as typed parameters."""

from jacquard.proto.codegen import constants, names
from jacquard.proto.lib import arch as arch_lib
from jacquard.proto.lib import isa as isa_lib


def emit(isa: isa_lib.Isa, arch: arch_lib.Arch) -> str:
    """The package's text. It uses no other package, so that it can be compiled in any order."""
    lines = [
        f"// Generated from configuration {arch.name} by proto/codegen; do not edit.",
        "/* verilator lint_off UNUSEDPARAM */",
        "package npu_arch_pkg;",
    ]
    for name, value, doc in constants.integers(arch):
        lines.append(
            f"  localparam int unsigned {name} = {value};" + (f"  // {doc}" if doc else "")
        )
    lines += [
        f"  localparam logic [63:0] Fingerprint = 64'h{arch_lib.fingerprint(isa, arch):016x};",
        "",
    ]
    buffers = isa.enum("buffer")
    argument = f"input logic [{buffers.width - 1}:0] buffer"
    for function, suffix, doc in (
        ("buffer_bytes", "Bytes", "Capacity of a memory"),
        ("buffer_row_bytes", "RowBytes", "Bytes of a row of a memory"),
    ):
        lines += [
            f"  // {doc} (a npu_isa_pkg::buffer_e); 0 for values that name none.",
            f"  function automatic logic [31:0] {function}({argument});",
            "    unique case (buffer)",
        ]
        for memory in buffers.values:
            if memory.name != "NONE":
                lines.append(
                    f"      {buffers.width}'d{memory.number}: "
                    f"return {names.camel(memory.name)}{suffix};"
                )
        lines += ["      default: return 0;", "    endcase", "  endfunction", ""]
    return "\n".join([*lines[:-1], "endpackage", "/* verilator lint_on UNUSEDPARAM */", ""])
