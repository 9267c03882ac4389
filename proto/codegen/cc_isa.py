"""Emits the C++ headers of the simulators: `npu_isa.h` (registers, enumerations, opcodes, decoders)
and `npu_arch.h` (the numbers of one configuration)."""

from jacquard.proto.codegen import constants, names
from jacquard.proto.lib import arch as arch_lib
from jacquard.proto.lib import isa as isa_lib


def emit_isa(isa: isa_lib.Isa) -> str:
    """Text of `npu_isa.h`: kReg<Name>, kOpcode<Name>, enum class <Name>, struct <Name>Fields."""
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
    lines.append(_BITS)
    for instruction in isa.instructions:
        lines += _decoder(instruction)
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


_BITS = """
// Bits [offset, offset + width) at `at`; width at most 57. Eight bytes from theirs on are read.
inline uint64_t FieldBits(const uint8_t* at, uint32_t offset, uint32_t width) {
  uint64_t bits;
  std::memcpy(&bits, at + offset / 8, sizeof(bits));
  return bits >> (offset % 8) & ((uint64_t{1} << width) - 1);
}

inline int64_t SignedBits(const uint8_t* at, uint32_t offset, uint32_t width) {
  const uint64_t sign = uint64_t{1} << (width - 1);
  return static_cast<int64_t>((FieldBits(at, offset, width) ^ sign) - sign);
}

// Instructions decoded. `at`: kMaxWords words, those past the length zero, and eight bytes more."""


def _decoder(instruction: isa_lib.Instruction) -> list[str]:
    """A struct of an instruction's fields, made from its words."""
    name = names.camel(instruction.name) + "Fields"
    lines = ["", f"struct {name} {{"]
    reads = []
    for f in instruction.fields:
        kind = f"{'' if f.signed else 'u'}int{32 if f.width <= 32 else 64}_t"
        read = "SignedBits" if f.signed else "FieldBits"
        lines.append(f"  {kind} {f.name};")
        reads.append(f"        {f.name}(static_cast<{kind}>({read}(at, {f.offset}, {f.width})))")
    head = f"  explicit {name}(const uint8_t* at)\n      : "
    return [*lines, head + ",\n".join(reads)[8:] + " {}", "};"]


def _head(source: str) -> list[str]:
    return [
        f"// Generated from {source} by proto/codegen; do not edit.",
        "#pragma once",
        "",
        "#include <cstdint>",
        "#include <cstring>",
        "",
        "namespace jacquard {",
    ]
