"""Emits the C++ headers of the harness: `npu_isa.h` (registers, enumerations, opcodes) and
`npu_arch.h` (the numbers of one configuration). Both are constants alone."""

from jacquard.proto.codegen import constants, names
from jacquard.proto.lib import arch as arch_lib
from jacquard.proto.lib import isa as isa_lib


def emit_isa(isa: isa_lib.Isa) -> str:
    """Text of `npu_isa.h`: kReg<Name>, kOpcode<Name>, enum class <Name>."""
    lines = _head("the instruction set")
    lines += [
        f"inline constexpr uint32_t kWordBytes = {isa.word_bits // 8};",
        f"inline constexpr uint32_t kMaxWords = {isa.max_words};",
        f"inline constexpr uint32_t kNumEngines = {len(isa.enum('engine').values)};",
        f"inline constexpr uint32_t kNumBuckets = {len(isa.enum('bucket').values)};",
        "",
    ]
    lines += [
        f"inline constexpr uint8_t kOpcode{names.camel(i.name)} = {i.opcode};"
        for i in isa.instructions
    ]
    for enum in isa.enums:
        lines += ["", f"// {enum.doc}", f"enum class {names.camel(enum.name)} : uint32_t {{"]
        lines += [f"  k{names.camel(v.name)} = {v.number},  // {v.doc}" for v in enum.values]
        lines.append("};")
    lines.append("")
    for register in isa.registers:
        name = names.camel(register.name)
        lines += [
            f"// {register.doc}",
            f"inline constexpr uint32_t kReg{name} = {register.offset:#05x};",
        ]
        if register.count > 1:
            lines.append(f"inline constexpr uint32_t kReg{name}Count = {register.count};")
    return "\n".join([*lines, "}  // namespace jacquard", ""])


def emit_arch(isa: isa_lib.Isa, arch: arch_lib.Arch) -> str:
    """Text of `npu_arch.h`."""
    lines = _head(f"configuration {arch.name}")
    lines.append(f'inline constexpr char kConfig[] = "{arch.name}";')
    lines += [
        f"inline constexpr uint32_t k{name} = {value};" + (f"  // {doc}" if doc else "")
        for name, value, doc in constants.integers(arch)
    ]
    lines.append(
        f"inline constexpr uint64_t kFingerprint = 0x{arch_lib.fingerprint(isa, arch):016x}ull;"
    )
    return "\n".join([*lines, "}  // namespace jacquard", ""])


def _head(source: str) -> list[str]:
    return [
        f"// Generated from {source} by proto/codegen; do not edit.",
        "#pragma once",
        "",
        "#include <cstdint>",
        "",
        "namespace jacquard {",
    ]
