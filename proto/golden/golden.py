"""What a reviewer sees of a change to the schemas: the encodings, and nano4's generated package.

Everything else that is generated is not committed.
"""

from jacquard.proto import npu_isa
from jacquard.proto.codegen import sv_arch
from jacquard.proto.lib import arch, asm, isa


def files() -> dict[str, str]:
    """Text of each golden file by its name in this folder."""
    return {
        "encodings.txt": _encodings(),
        "npu_arch_pkg.sv": sv_arch.emit(isa.load_isa(), arch.load_config("nano4")),
    }


def _encodings() -> str:
    """Each instruction with every field at a value of its own, and its words, lowest first."""
    lines = []
    for kind in npu_isa.INSTRUCTIONS:
        values = {}
        for number, field in enumerate(kind.FIELDS[2:], start=1):
            span = 1 << (field.width - 1 if field.signed else field.width)
            value = number * 0x9E3779B1 % span or 1
            if field.enum:
                value = number % len(getattr(npu_isa, field.enum))
            values[field.name] = -value if field.signed and number % 2 else value
        instruction = kind(**values)
        code = npu_isa.encode(instruction)
        lines.append(asm.disassemble(instruction))
        lines += [
            f"  {int.from_bytes(code[k : k + npu_isa.WORD_BYTES], 'little'):032x}"
            for k in range(0, len(code), npu_isa.WORD_BYTES)
        ]
    return "\n".join([*lines, ""])
