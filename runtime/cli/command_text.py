"""Assembles text to code and back."""

from __future__ import annotations

import pathlib
import sys

from absl import flags

from jacquard.proto import npu_isa
from jacquard.proto.lib import asm
from jacquard.proto.lib.errors import UserError
from jacquard.runtime.api import program as programs
from jacquard.runtime.api.files import write_whole
from jacquard.runtime.cli import options


def _file(values: flags.FlagValues, name: str) -> pathlib.Path:
    value = values[name].value
    if not value:
        raise UserError(f"--{name}: a file must be given")
    return pathlib.Path(value)


def assemble_main(argv: list[str]) -> int:
    """Assembles text into encoded instructions."""
    values = flags.FlagValues()
    flags.DEFINE_string("input", None, "text, an instruction a line", flag_values=values)
    flags.DEFINE_string("output", None, "file for the encoded instructions", flag_values=values)
    options.parse(values, "asm", argv)
    source, target = _file(values, "input"), _file(values, "output")
    if not source.is_file():
        raise UserError(f"{source}: file does not exist")
    options.check_writable(str(target), "output")
    try:
        text = source.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise UserError(f"{source}: must be text, got byte {error.start} that is none") from error
    target.write_bytes(npu_isa.encode_program(asm.assemble(text, str(source))))
    return 0


def disassemble_main(argv: list[str]) -> int:
    """Prints a program, or encoded instructions, as text."""
    values = flags.FlagValues()
    flags.DEFINE_string("input", None, "program file, or encoded instructions", flag_values=values)
    flags.DEFINE_string(
        "output", None, "file for the text; standard output if not given", flag_values=values
    )
    flags.DEFINE_bool(
        "raw", False, "input holds encoded instructions, not a program", flag_values=values
    )
    options.parse(values, "disasm", argv)
    source = _file(values, "input")
    options.check_writable(values["output"].value, "output")
    if values["raw"].value:
        if not source.is_file():
            raise UserError(f"{source}: file does not exist")
        code = source.read_bytes()
    else:
        code = programs.load(source).code
    try:
        text = asm.disassemble_program(npu_isa.decode_program(code))
    except (ValueError, IndexError) as error:
        raise UserError(f"{source}: must hold encoded instructions, got {error}") from error
    if values["output"].value:
        write_whole(pathlib.Path(values["output"].value), text)
    else:
        sys.stdout.write(text)
    return 0
